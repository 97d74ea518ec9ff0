"""Turns sentences into a graph."""
