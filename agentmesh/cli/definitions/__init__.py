"""Commands about what can be run: apps, agents, crews and tools."""
