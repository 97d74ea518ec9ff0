"""Where jobs are kept in the memory of the process: for tests, and for a mesh that shall forget."""

from services.runner.stores.memory.store import MemoryStore

__all__ = ["MemoryStore"]
