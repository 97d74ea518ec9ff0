"""Nonsense at every door, by a seed: nothing breaks, nothing ends, nothing hangs."""
