"""The comments of the contract, by the full name of what they stand at."""

import re
from collections.abc import Iterator, Sequence

from google.protobuf import descriptor_pb2

_MESSAGE, _ENUM, _SERVICE = 4, 5, 6
"""Numbers of the fields of `FileDescriptorProto`."""
_FIELD, _NESTED, _NESTED_ENUM = 2, 3, 4
"""Of `DescriptorProto`."""
_VALUE = _METHOD = 2
"""Of `EnumDescriptorProto` and `ServiceDescriptorProto`."""

Path = tuple[int, ...]


def by_name(files: Sequence[descriptor_pb2.FileDescriptorProto]) -> dict[str, str]:
    """Return the comment in front of each message, field, enum, value, service and method that has one.

    Files without source info have none.  A comment is one paragraph per line.
    """
    found = {}
    for file in files:
        texts = {tuple(at.path): _text(at.leading_comments) for at in file.source_code_info.location}
        for path, name in _named(file):
            if text := texts.get(path):
                found[f"{file.package}.{name}"] = text
    return found


def _named(file: descriptor_pb2.FileDescriptorProto) -> Iterator[tuple[Path, str]]:
    for number, message in enumerate(file.message_type):
        yield from _in_message((_MESSAGE, number), message, "")
    for number, enum in enumerate(file.enum_type):
        yield from _in_enum((_ENUM, number), enum, "")
    for number, service in enumerate(file.service):
        yield (_SERVICE, number), service.name
        for index, method in enumerate(service.method):
            yield (_SERVICE, number, _METHOD, index), f"{service.name}.{method.name}"


def _in_message(path: Path, message: descriptor_pb2.DescriptorProto, within: str) -> Iterator[tuple[Path, str]]:
    name = f"{within}{message.name}"
    yield path, name
    for number, field in enumerate(message.field):
        yield (*path, _FIELD, number), f"{name}.{field.name}"
    for number, nested in enumerate(message.nested_type):
        yield from _in_message((*path, _NESTED, number), nested, f"{name}.")
    for number, enum in enumerate(message.enum_type):
        yield from _in_enum((*path, _NESTED_ENUM, number), enum, f"{name}.")


def _in_enum(path: Path, enum: descriptor_pb2.EnumDescriptorProto, within: str) -> Iterator[tuple[Path, str]]:
    name = f"{within}{enum.name}"
    yield path, name
    for number, value in enumerate(enum.value):
        yield (*path, _VALUE, number), f"{name}.{value.name}"


def _text(comment: str) -> str:
    """Return a comment with its lines joined; an empty line ends a paragraph."""
    paragraphs = re.split(r"\n[ \t]*\n", comment.strip())
    return "\n\n".join(re.sub(r"\s+", " ", paragraph).strip() for paragraph in paragraphs)


def first_sentence(text: str) -> str:
    """Return what a comment begins with, without its full stop."""
    return re.split(r"(?<=[^.])\.(?:\s|$)|:\s|;\s", text, maxsplit=1)[0]
