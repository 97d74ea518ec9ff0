"""Messages of the contract as JSON Schema, in the JSON that Envoy makes of them.

In an answer every field is there that has a value even when nobody set it (`always_print_primitive_fields`): scalars,
enums, arrays and maps; a message and an `optional` field may be missing.  In a request anything may be missing, and
numbers of 64 bits may come as numbers.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from google.protobuf import descriptor_pb2

from gateway.http.openapi import comments

Schema = dict[str, Any]
_Field = descriptor_pb2.FieldDescriptorProto

_INT32: Schema = {"type": "integer", "format": "int32", "minimum": -(2**31), "maximum": 2**31 - 1}
_UINT32: Schema = {"type": "integer", "format": "uint32", "minimum": 0, "maximum": 2**32 - 1}
_INT64: Schema = {"type": "string", "format": "int64", "pattern": "^-?[0-9]{1,19}$"}
_UINT64: Schema = {"type": "string", "format": "uint64", "pattern": "^[0-9]{1,20}$"}
_NUMBER: Schema = {"type": "number", "format": "double"}
_SCALARS: Mapping[int, Schema] = {
    _Field.TYPE_DOUBLE: _NUMBER,
    _Field.TYPE_FLOAT: {"type": "number", "format": "float"},
    _Field.TYPE_INT64: _INT64,
    _Field.TYPE_SINT64: _INT64,
    _Field.TYPE_SFIXED64: _INT64,
    _Field.TYPE_UINT64: _UINT64,
    _Field.TYPE_FIXED64: _UINT64,
    _Field.TYPE_INT32: _INT32,
    _Field.TYPE_SINT32: _INT32,
    _Field.TYPE_SFIXED32: _INT32,
    _Field.TYPE_UINT32: _UINT32,
    _Field.TYPE_FIXED32: _UINT32,
    _Field.TYPE_BOOL: {"type": "boolean"},
    _Field.TYPE_STRING: {"type": "string"},
    _Field.TYPE_BYTES: {"type": "string", "contentEncoding": "base64"},
}
_WELL_KNOWN: Mapping[str, Schema] = {
    "google.protobuf.Timestamp": {"type": "string", "format": "date-time"},
    "google.protobuf.Duration": {"type": "string", "pattern": r"^-?[0-9]+(\.[0-9]{1,9})?s$"},
    "google.protobuf.FieldMask": {"type": "string"},
    "google.protobuf.Struct": {"type": "object"},
    "google.protobuf.ListValue": {"type": "array", "items": {}},
    "google.protobuf.Value": {},
    "google.protobuf.Empty": {"type": "object"},
    "google.protobuf.Any": {
        "type": "object",
        "properties": {"@type": {"type": "string"}},
        "required": ["@type"],
        "additionalProperties": True,
    },
}
BY_HAND = frozenset(
    ("google.api.HttpBody", "google.protobuf.Struct", "google.protobuf.ListValue", "google.protobuf.Value")
)
"""Bodies that a message of these types says nothing about."""


class Contract:
    """Every message and enum of the contract, and what is said of it."""

    def __init__(self, files: Sequence[descriptor_pb2.FileDescriptorProto]) -> None:
        self.files = files
        self.comments = comments.by_name(files)
        self.messages: dict[str, descriptor_pb2.DescriptorProto] = {}
        self.enums: dict[str, descriptor_pb2.EnumDescriptorProto] = {}
        for file in files:
            for enum in file.enum_type:
                self.enums[f"{file.package}.{enum.name}"] = enum
            for message in file.message_type:
                self._add(f"{file.package}.{message.name}", message)

    def _add(self, name: str, message: descriptor_pb2.DescriptorProto) -> None:
        self.messages[name] = message
        for enum in message.enum_type:
            self.enums[f"{name}.{enum.name}"] = enum
        for nested in message.nested_type:
            self._add(f"{name}.{nested.name}", nested)

    def described(self, name: str, schema: Schema) -> Schema:
        """Return a schema with the comment of what it is of, if that has one."""
        text = self.comments.get(name)
        return {**schema, "description": text} if text else schema


class Messages:
    """Makes schemas of messages, and keeps those of named ones as components."""

    def __init__(
        self, contract: Contract, *, camel: bool, values: Mapping[str, Schema], add: Callable[[str, Schema], None]
    ) -> None:
        self._contract = contract
        self._camel = camel
        self._values = values
        self._add = add
        self._named: dict[tuple[str, bool], str] = {}
        self._names: dict[str, str] = {}

    def ref(self, full_name: str, *, answer: bool) -> Schema:
        """Return a reference to the component of a message; it is made when it is first asked for."""
        if full_name in _WELL_KNOWN:
            return dict(_WELL_KNOWN[full_name])
        key = (full_name, answer)
        if key not in self._named:
            name = self._named[key] = self._name(full_name, answer=answer)
            self._add(name, self.schema(full_name, answer=answer))
        return {"$ref": f"#/components/schemas/{self._named[key]}"}

    def _name(self, full_name: str, *, answer: bool) -> str:
        short = full_name.partition(".v1.")[2].replace(".", "") or full_name.rpartition(".")[2]
        owner = self._names.setdefault(short, full_name)
        if owner != full_name:
            raise ValueError(f"{full_name} and {owner} have one name in the reference: rename one")
        return short if answer or short.endswith("Request") else f"{short}Input"

    def schema(self, full_name: str, *, answer: bool, without: frozenset[str] = frozenset()) -> Schema:
        """Return the schema of a message; `without` leaves fields out."""
        message = self._contract.messages[full_name]
        fields = [
            field
            for field in message.field
            if field.name not in without and not (answer and self._is_write_only(full_name, field))
        ]
        made: Schema = {
            "type": "object",
            "properties": {self.json_name(field): self.field(full_name, field, answer=answer) for field in fields},
        }
        required = [self.json_name(field) for field in fields if answer and self._is_there(full_name, field)]
        if required:
            made["required"] = required
        return self._contract.described(full_name, made)

    def _is_write_only(self, message: str, field: descriptor_pb2.FieldDescriptorProto) -> bool:
        return self._contract.comments.get(f"{message}.{field.name}", "").startswith("Write-only")

    def _is_there(self, message: str, field: descriptor_pb2.FieldDescriptorProto) -> bool:
        """Return whether every answer has the field; a dialect says null where a value is none."""
        return not _has_presence(field) or f"{message}.{field.name}" in self._values

    def json_name(self, field: descriptor_pb2.FieldDescriptorProto) -> str:
        """Return the name of a field in JSON."""
        return field.json_name if self._camel else field.name

    def field(self, message: str, field: descriptor_pb2.FieldDescriptorProto, *, answer: bool) -> Schema:
        """Return the schema of a field."""
        entry = self._contract.messages.get(field.type_name[1:])
        if entry is not None and entry.options.map_entry:
            one: Schema = {"type": "object", "additionalProperties": self._one(entry.field[1], answer=answer)}
        else:
            one = self._values.get(f"{message}.{field.name}") or self._one(field, answer=answer)
            if field.label == _Field.LABEL_REPEATED:
                one = {"type": "array", "items": one}
        if field.options.deprecated:
            one = {**one, "deprecated": True}
        if self._is_write_only(message, field):
            one = {**one, "writeOnly": True}
        return self._contract.described(f"{message}.{field.name}", one)

    def _one(self, field: descriptor_pb2.FieldDescriptorProto, *, answer: bool) -> Schema:
        if field.type == _Field.TYPE_ENUM:
            return self._enum(field.type_name[1:])
        if field.type == _Field.TYPE_MESSAGE:
            return self.ref(field.type_name[1:], answer=answer)
        schema = dict(_SCALARS[field.type])
        if not answer and schema in (_INT64, _UINT64):
            schema["type"] = ["string", "integer"]
        return schema

    def _enum(self, full_name: str) -> Schema:
        key = (full_name, True)
        if key not in self._named:
            name = self._named[key] = self._name(full_name, answer=True)
            enum = self._contract.enums[full_name]
            self._add(name, self._contract.described(full_name, self._enum_schema(full_name, enum)))
        return {"$ref": f"#/components/schemas/{self._named[key]}"}

    def _enum_schema(self, full_name: str, enum: descriptor_pb2.EnumDescriptorProto) -> Schema:
        names = [value.name for value in enum.value]
        said = {name: self._contract.comments.get(f"{full_name}.{name}", "") for name in names}
        return {"type": "string", "enum": names, "x-enum-descriptions": said}


def _has_presence(field: descriptor_pb2.FieldDescriptorProto) -> bool:
    if field.label == _Field.LABEL_REPEATED:
        return False
    return field.type == _Field.TYPE_MESSAGE or field.proto3_optional or field.HasField("oneof_index")
