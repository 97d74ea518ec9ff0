"""Calling a function as often as its policy lets it fail."""

import asyncio
import inspect
import time
from collections.abc import Callable
from typing import Any

from agentmesh.retries import Retries


async def tried(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], retries: Retries) -> Any:
    """Return what a function returns, called as often as it may be."""
    attempt = 1
    while True:
        try:
            if inspect.iscoroutinefunction(function):
                return await function(*args, **kwargs)
            value = await asyncio.to_thread(function, *args, **kwargs)
            return await value if inspect.isawaitable(value) else value
        except Exception as error:
            if (pause_s := retries.pause_after(error, attempt)) is None:
                raise
        await asyncio.sleep(pause_s)
        attempt += 1


def tried_sync(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], retries: Retries) -> Any:
    """See `tried`; in this thread."""
    attempt = 1
    while True:
        try:
            return function(*args, **kwargs)
        except Exception as error:
            if (pause_s := retries.pause_after(error, attempt)) is None:
                raise
        time.sleep(pause_s)
        attempt += 1
