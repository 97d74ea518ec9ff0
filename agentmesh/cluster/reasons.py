"""Why Ray does not place a host, in words for people: Ray's own where it has any."""

from collections.abc import Mapping
from typing import Any

import ray

_REASON_CHARS_MAX = 600
_NAMES = {"num_cpus": "CPU", "num_gpus": "GPU", "memory": "memory"}


def of(error: BaseException) -> tuple[str, str]:
    """Return what an error of Ray's says: a line or two of it, and all of it."""
    cause = getattr(error, "cause", None)
    text = str(
        cause if isinstance(cause, BaseException) and not isinstance(error, ray.exceptions.RayActorError) else error
    )
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return _short(lines) or type(error).__name__, text


def _short(lines: list[str]) -> str:
    """Return the first lines, and the last: an installer says at the end what it could not do."""
    whole = " ".join(lines)
    if len(whole) <= _REASON_CHARS_MAX:
        return whole
    half = _REASON_CHARS_MAX // 2
    return f"{whole[:half]} … {whole[-half:]}"


def lacking(options: Mapping[str, Any]) -> str:
    """Return what no node that lives has, of what an actor asks for; empty if one has all of it."""
    asked = {_NAMES[name]: float(options[name]) for name in _NAMES if options.get(name)}
    asked |= {str(name): float(amount) for name, amount in (options.get("resources") or {}).items()}
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    if any(all(has.get(name, 0.0) >= amount for name, amount in asked.items()) for has in nodes):
        free = ray.available_resources()
        short = {name: free.get(name, 0.0) for name, amount in asked.items() if free.get(name, 0.0) < amount}
        if not short:
            return ""
        return f"the cluster is busy: the host asks for {_said(asked)}, and {_said(short)} is free"
    most = {name: max((has.get(name, 0.0) for has in nodes), default=0.0) for name in asked}
    return f"no node of the cluster can take a host that asks for {_said(asked)}: the most of each is {_said(most)}"


def _said(amounts: Mapping[str, float]) -> str:
    return ", ".join(f"{amount:g} {name}" for name, amount in sorted(amounts.items()))
