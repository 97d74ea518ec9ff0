"""Agents, crews, task definitions and tools, against a real registry."""
