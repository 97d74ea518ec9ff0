"""Tests of the engine: the real runner and host, and providers that misbehave on purpose."""
