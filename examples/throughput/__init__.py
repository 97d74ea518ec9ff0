"""Emits numbered events at a rate of your choice."""
