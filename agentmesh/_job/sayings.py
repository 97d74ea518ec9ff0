"""What an author hands to a tracer, as the payload of an event."""

import asyncio
import sys
import traceback
from typing import Any

from agentmesh._values.serialize import serialize
from agentmesh.errors import hide_paths
from agentmesh.response import Markdown


def lines(message: tuple[Any, ...]) -> str:
    """Return a line for each argument."""
    return "\n".join(str(part) for part in message)


def markdown(message: tuple[Any, ...]) -> str:
    """Return a paragraph for each argument, as typed JSON."""
    return serialize(Markdown("\n\n".join(str(part) for part in message)))


def warning(message: tuple[Any, ...], exc_info: bool) -> str:
    """Return a line for each argument, and the exception that is being handled if it is asked for."""
    text = lines(message)
    if exc_info and sys.exc_info()[0] is not None:
        text += "\n" + hide_paths(traceback.format_exc().rstrip())
    return text


def is_on_a_loop() -> bool:
    """Return whether the caller would block a loop if it waited."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
