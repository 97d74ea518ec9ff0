"""An app that looks through the memory of its processes for badges by which a host or a service shows who it is."""

import base64
import json
import re
from typing import Any

import pydantic

from agentmesh import ServeAPI, Tracer

app = ServeAPI()
_TOKEN = re.compile(rb"eyJ[\w-]{10,200}\.(eyJ[\w-]{10,400})\.[\w-]{20}")
PLANTED = "host:planted"


def _encoded(value: dict[str, str]) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


_planted = ".".join((_encoded({"alg": "none", "typ": "JWT"}), _encoded({"sub": PLANTED}), "x" * 43))
"""To see that what is there is found."""


class Nothing(pydantic.BaseModel):
    """No inputs."""


@app.flow("/process", summary="Look in a process of its own", isolation="process")
def look(inputs: Nothing, tracer: Tracer) -> Any:
    """Look."""
    return remembered()


@app.flow("/shared", summary="Look in the worker", isolation="shared")
def look_in_the_worker(inputs: Nothing, tracer: Tracer) -> Any:
    """Look."""
    return remembered()


@app.get("/handler")
def look_in_the_handler() -> list[str]:
    """Look."""
    return remembered()


def remembered() -> list[str]:
    """Return whose badges lie in what this process can write to: heap, stacks, arguments, environment."""
    found = set()
    with open("/proc/self/maps") as maps, open("/proc/self/mem", "rb", 0) as memory:
        for line in maps.readlines():
            addresses, permissions = line.split()[:2]
            if not permissions.startswith("rw"):
                continue
            start, end = (int(address, 16) for address in addresses.split("-"))
            memory.seek(start)
            try:
                data = memory.read(end - start)
            except OSError:
                continue
            found |= {subject for match in _TOKEN.finditer(data) if (subject := _subject(match[1]))}
    return sorted(found)


def _subject(payload: bytes) -> str:
    try:
        said = json.loads(base64.urlsafe_b64decode(payload + b"=" * (-len(payload) % 4)))
    except ValueError:
        return ""
    return str(said.get("sub", "")) if isinstance(said, dict) else ""
