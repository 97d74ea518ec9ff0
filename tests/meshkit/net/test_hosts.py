"""What only this machine can reach."""

import pytest

from meshkit.net.hosts import is_loopback


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.5.5.5", "::1", "[::1]", "localhost", "LOCALHOST", "::ffff:127.0.0.1"]
)
def test_loopback(host: str) -> None:
    """Addresses that only this machine has."""
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host", ["0.0.0.0", "::", "", "192.168.1.5", "mesh.example.com", "localhost.example.com", "127.1"]
)
def test_not_loopback(host: str) -> None:
    """Everything else, names that might lead anywhere included."""
    assert not is_loopback(host)
