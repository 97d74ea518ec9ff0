"""The pure parts of the benchmarks, and what they do to servers that misbehave."""
