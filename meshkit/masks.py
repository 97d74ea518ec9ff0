"""Updates (AIP-134): which fields of a message are to be changed, and the message with them changed.

paths = masks.paths(request.agent, request.update_mask, WRITABLE)
wanted = masks.merged(stored, request.agent, paths)
"""

from collections.abc import Collection, Iterator
from typing import Any, TypeVar

from google.protobuf import field_mask_pb2
from google.protobuf.message import Message

from meshkit.errors import Invalid

M = TypeVar("M", bound=Message)
FIELD = "update_mask"
_PATHS_MAX = 200


def paths(sent: Message, mask: field_mask_pb2.FieldMask, writable: Collection[str]) -> tuple[str, ...]:
    """Return the paths that an update changes, such as `model.temperature`.

    `writable` names the fields of `sent` that can be changed, each with everything in it.  No mask means every
    writable field that is set; `*` means every writable field.  Raises `Invalid`, naming `update_mask`, for a path that
    is not a field, or one that cannot be changed.
    """
    if not mask.paths:
        return tuple(_populated(sent, writable))
    if len(mask.paths) > _PATHS_MAX:
        raise Invalid(f"{FIELD} has too many paths", {FIELD: [f"at most {_PATHS_MAX} paths"]})
    if "*" in mask.paths:
        if len(mask.paths) > 1:
            raise Invalid(f"{FIELD}: * stands alone", {FIELD: ["* names every field already"]})
        return tuple(field.name for field in sent.DESCRIPTOR.fields if field.name in writable)
    for path in mask.paths:
        if path.partition(".")[0] not in writable or not _exists(sent.DESCRIPTOR, path):
            names = ", ".join(field.name for field in sent.DESCRIPTOR.fields if field.name in writable)
            raise Invalid(f"{FIELD}: cannot change {path[:80]!r}", {FIELD: [f"may name {names}"]})
    return tuple(dict.fromkeys(mask.paths))


def merged(stored: M, sent: M, changed: Collection[str]) -> M:
    """Return `stored` with the fields at these paths as they are in `sent`: replaced as a whole, cleared if not set."""
    result = type(stored)()
    result.CopyFrom(stored)
    for path in changed:
        _put(result, sent, path.split("."))
    return result


def _put(into: Any, source: Any, path: list[str]) -> None:
    for name in path[:-1]:
        if not source.HasField(name) and not into.HasField(name):
            return  # there is nothing to clear
        into, source = getattr(into, name), getattr(source, name)
    name = path[-1]
    into.ClearField(name)
    field = source.DESCRIPTOR.fields_by_name[name]
    if field.is_repeated:
        getattr(into, name).MergeFrom(getattr(source, name))
    elif field.message_type is not None:
        if source.HasField(name):
            getattr(into, name).CopyFrom(getattr(source, name))
    elif not field.has_presence or source.HasField(name):
        setattr(into, name, getattr(source, name))


def _populated(sent: Message, writable: Collection[str] | None = None, prefix: str = "") -> Iterator[str]:
    for field, value in sent.ListFields():
        if writable is not None and field.name not in writable:
            continue
        path = f"{prefix}{field.name}"
        if field.message_type is None or field.is_repeated or not value.ListFields():
            yield path
        else:
            yield from _populated(value, None, f"{path}.")


def _exists(message: Any, path: str) -> bool:
    """Return whether a path leads to a field of a message's descriptor."""
    for name in path.split("."):
        field = message.fields_by_name.get(name) if message is not None else None
        if field is None:
            return False
        message = None if field.is_repeated else field.message_type
    return True
