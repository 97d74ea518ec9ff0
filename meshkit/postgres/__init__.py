"""PostgreSQL for any number of replicas: how (`database`), and what services keep in it alike."""

from meshkit.postgres.database import (
    Alone,
    Connection,
    Database,
    Together,
    Work,
    lock,
    opened,
)

__all__ = ["Alone", "Connection", "Database", "Together", "Work", "lock", "opened"]
