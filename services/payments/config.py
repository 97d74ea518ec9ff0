"""What the payments service reads from the environment: nothing beyond the shared settings, yet."""

from meshkit.service import Settings


class Config(Settings):
    """The shared settings."""
