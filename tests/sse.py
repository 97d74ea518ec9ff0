"""Server-sent events, as tests compare them."""

import re

_ALIVE = re.compile(r"id: 0\r\nevent: alive\r\ndata: [^\r]*\r\n\r\n")


def without_alive(text: str) -> str:
    """Return a job's stream without the signs of life, which come whenever a machine is slow to have more to say."""
    return _ALIVE.sub("", text)
