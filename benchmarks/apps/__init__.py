"""Flows that the benchmarks run: each does as little as it can, so what it costs is what the mesh costs."""
