"""Apps as they are placed, for operators."""

import dataclasses
from typing import Any

from agentmesh_protos.runner.v1 import app_pb2

from agentmesh._client.records import word


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class App:
    """What serves an expose."""

    name: str
    """The id of its expose."""
    state: str
    """starting, running, failed or outdated and so on, as in the contract's `AppState`."""
    message: str
    """Why it does not run as it was deployed last; empty if it does."""
    detail: str
    """The traceback of that."""
    import_path: str
    host_count: int
    """How many hosts it shall have."""
    ready_count: int
    """How many of them serve."""


def to_app(message: Any) -> App:
    """Return the record of an app."""
    return App(
        name=message.name.removeprefix("apps/"),
        state=word(app_pb2.AppState, message.state, "APP_STATE_"),
        message=message.message,
        detail=message.detail,
        import_path=message.import_path,
        host_count=message.replica_count,
        ready_count=message.ready_count,
    )
