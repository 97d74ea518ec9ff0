"""Flows that misbehave without malice, and what must hold for their neighbours."""
