"""What signed in, as people call it."""

import pytest

from gateway.web.panel.sessions import what

_MOZILLA = "Mozilla/5.0"


@pytest.mark.parametrize(
    ("client", "text"),
    [
        (f"{_MOZILLA} (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "Firefox on Linux"),
        (f"{_MOZILLA} (Windows NT 10.0) AppleWebKit/537.36 Chrome/141.0 Safari/537.36 Edg/141.0", "Edge on Windows"),
        (f"{_MOZILLA} (Linux; Android 15) AppleWebKit/537.36 Chrome/141.0 Mobile Safari/537.36", "Chrome on Android"),
        (f"{_MOZILLA} (iPhone; CPU iPhone OS 19_0 like Mac OS X) Version/19.0 Safari/604.1", "Safari on iPhone"),
        (f"{_MOZILLA} (Macintosh; Intel Mac OS X 15) Version/19.0 Safari/605.1", "Safari on macOS"),
        (f"{_MOZILLA} (an unknown one)", "Mozilla"),
        ("agentmesh grpc-python-asyncio/1.85.0 grpc-c/50 (linux)", "agentmesh"),
        ("curl/8.14.1", "curl"),
        ("", ""),
    ],
)
def test_a_client_has_a_name_for_people(client: str, text: str) -> None:
    """Each browser says that it is others, too."""
    assert text == what(client)
