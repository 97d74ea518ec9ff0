"""What an app's form says is wrong, as an error that callers act on."""

from collections.abc import Iterable

from agentmesh_protos.runner.v1 import host_pb2

from meshkit.errors import Invalid

GLOBAL = "_global_"
"""The field of what concerns no field."""
BY_FORM = {"refused_by": "form"}
"""The metadata of a refusal: dialects show it beside the fields of the form."""


def refused(what: str, errors: Iterable[host_pb2.FieldError]) -> Invalid:
    """Return the error for messages by field; `what` is refused by them."""
    fields = {error.field or GLOBAL: list(error.messages) for error in errors if error.messages}
    shown = "; ".join(f"{name}: {', '.join(texts)}" for name, texts in fields.items())
    return Invalid(f"{what}: {shown}", fields, **BY_FORM)
