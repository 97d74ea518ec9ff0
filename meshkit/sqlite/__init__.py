"""SQLite with group commit (`database`), what becomes of its files, and what services keep in it alike."""

from meshkit.sqlite.database import (
    Database,
)

__all__ = ["Database"]
