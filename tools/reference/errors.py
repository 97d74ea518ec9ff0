"""What goes wrong, in every dialect's words: made by the renderers that answer."""

import json
import types
from typing import Any

import grpc
from grpc_status import rpc_status

from agentmesh._client.errors import from_rpc
from gateway.dialects import DIALECTS
from gateway.http.dialect import Dialect
from meshkit import errors
from tools.reference.markdown import code, opening, table

_OPENING = """# Errors

Something that a caller may act on is one of these, in every service. gRPC has it as a status with an `ErrorInfo`
(AIP-193) whose domain is `agentmesh`; wrong fields come as a `BadRequest`, and when to try again as a `RetryInfo`.
The Python client raises these classes of `agentmesh.client`, which are all `MeshError`, and `Unreachable` where nobody
answers; the command line [ends with 2](../cli.md#exit-codes) and says the message."""
_STATUSES = """## HTTP

Each dialect has the statuses that its own document has."""
_BODIES = """## Bodies

The same two errors as each dialect says them: a job that is not there, and an input that is refused."""
_KINDS = errors.MeshError.__subclasses__()


def page() -> str:
    """Return the page."""
    kinds = [kind for kind in _KINDS if kind.__module__ == errors.__name__]
    parts = [_OPENING, table(["gRPC", "Reason", "Python client", "Means"], map(_kind, kinds)), _STATUSES]
    head = ["gRPC", *(code(dialect.name) for dialect in DIALECTS)]
    parts += [table(head, ([code(kind.code.name), *_statuses(kind)] for kind in kinds)), _BODIES]
    shown: dict[str, list[str]] = {}
    for dialect in DIALECTS:
        shown.setdefault(_examples(dialect), []).append(dialect.name)
    return "\n\n".join([*parts, *(f"### {', '.join(names)}\n\n{text}" for text, names in shown.items())])


def _kind(kind: type[errors.MeshError]) -> list[str]:
    status = rpc_status.to_status(kind("said").to_status())
    raised = from_rpc(grpc.aio.AioRpcError(kind.code, grpc.aio.Metadata(), status.trailing_metadata, "said"), "")
    return [code(kind.code.name), code(kind.reason), code(type(raised).__name__), opening(kind.__doc__)]


def _statuses(kind: type[errors.MeshError]) -> list[str]:
    return [str(dialect.render(kind("said"), _asked()).status) for dialect in DIALECTS]


def _examples(dialect: Dialect) -> str:
    refused = errors.Invalid("the inputs are refused", {"top": ["must be at most 50"]})
    rendered = [dialect.render(error, _asked()) for error in (errors.NotFound("there is no such job"), refused)]
    bodies = [(each.status, json.dumps(each.body, ensure_ascii=False, indent=2)) for each in rendered]
    return "\n\n".join(f'```json title="{status}"\n{body}\n```' for status, body in bodies)


def _asked() -> Any:
    """Return a request, which has a trace: else each rendering would make up another."""
    headers = {"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}
    return types.SimpleNamespace(method="POST", target="/a/path", path="/a/path", query="", headers=headers)
