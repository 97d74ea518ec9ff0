"""What nobody should send, decided by a seed."""

import json
import random
from typing import Any

from google.protobuf.message import Message

TEXTS = (
    *(
        "",
        " ",
        "\x00",
        "a\x00b",
        "\r\n",
        "\t",
        "\u202e",
        "\ufeff",
        "𝟘",
        "日本語",
        "é" * 300,
        "x" * 5_000,
        "%00",
        "%ff%fe",
    ),
    *("../../etc/passwd", "..", ".", "//", "/", "a/b/c/d", "*", "{}", "[]", "null", "true", "NaN", "-0", "1e999"),
    *(
        "0",
        "-1",
        "99999999999999999999",
        "2147483648",
        "1.5",
        "' OR 1=1 --",
        '"; DROP TABLE jobs',
        "%s%n",
        "${x}",
        "{{7*7}}",
    ),
    *(
        "<script>alert(1)</script>",
        "javascript:alert(1)",
        "9999-12-31T23:59:59Z",
        "0000-00-00T00:00:00Z",
        "AAAA",
        "=====",
    ),
    *("jobs/", "jobs/*", "agents/-", "flows/../..", "users/" + "f" * 4_000, "Bearer", "kodosumi", "\\", "`id`", "|"),
)
NUMBERS = (0, -1, 1, 2**31 - 1, 2**31, -(2**31), 2**53, 2**63 - 1, -(2**63), 0.5, -0.0, 1e308, 1e-308)


class Garbage:
    """A source of nonsense; the same seed gives the same."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def text(self) -> str:
        """Return a text."""
        pick = self.random.random()
        if pick < 0.7:
            return self.random.choice(TEXTS)
        if pick < 0.9:
            return "".join(chr(self.random.randrange(0xD800)) for _ in range(self.random.randrange(40)))
        return self.random.choice(TEXTS) * self.random.randrange(1, 20)

    def raw(self, most: int = 600) -> bytes:
        """Return bytes."""
        return self.random.randbytes(self.random.randrange(most))

    def mutated(self, data: bytes) -> bytes:
        """Return bytes that are nearly `data`."""
        found = bytearray(data)
        for _ in range(self.random.randrange(1, 5)):
            at = self.random.randrange(len(found) + 1)
            match self.random.randrange(4):
                case 0:
                    del found[at : at + self.random.randrange(1, 20)]
                case 1:
                    found[at:at] = self.raw(20)
                case 2 if found:
                    found[at % len(found)] ^= 1 << self.random.randrange(8)
                case _:
                    found[at:at] = found[at // 2 : at]
        return bytes(found)

    def value(self, depth: int = 4) -> Any:
        """Return a value of JSON."""
        match self.random.randrange(8 if depth else 5):
            case 0:
                return None
            case 1:
                return self.random.random() < 0.5
            case 2:
                return self.random.choice(NUMBERS)
            case 3 | 4:
                return self.text()
            case 5:
                return [self.value(depth - 1) for _ in range(self.random.randrange(4))]
            case 6:
                return {self.text(): self.value(depth - 1) for _ in range(self.random.randrange(4))}
            case _:
                return self._deep()

    def _deep(self) -> Any:
        found: Any = self.random.choice(NUMBERS)
        for _ in range(self.random.choice((10, 150))):
            found = [found] if self.random.random() < 0.5 else {"a": found}
        return found

    def spoilt(self, sent: Any) -> Any:
        """Return a value of JSON that is nearly `sent`: one of its parts is something else, left out or added."""
        if isinstance(sent, dict) and sent and self.random.random() < 0.8:
            key = self.random.choice(sorted(sent))
            match self.random.randrange(4):
                case 0:
                    return {name: value for name, value in sent.items() if name != key}
                case 1:
                    return {**sent, self.text(): self.value()}
                case _:
                    return {**sent, key: self.spoilt(sent[key])}
        if isinstance(sent, list) and sent and self.random.random() < 0.8:
            return [*sent[1:], self.spoilt(sent[0])]
        return self.value()

    def body(self, sent: Any) -> bytes:
        """Return the body of a request: nearly `sent`, or nothing like it."""
        match self.random.randrange(6):
            case 0:
                return self.raw()
            case 1:
                return self.mutated(json.dumps(sent).encode())
            case _:
                return json.dumps(self.spoilt(sent)).encode(errors="surrogatepass")

    def fill(self, message: Message, depth: int = 3) -> Message:
        """Give fields of a message values that their types allow; return it."""
        for field in message.DESCRIPTOR.fields:
            if self.random.random() < 0.4:
                continue
            if field.is_repeated and field.message_type is not None and field.message_type.GetOptions().map_entry:
                continue
            if field.message_type is not None:
                if not depth:
                    continue
                inner = getattr(message, field.name).add() if field.is_repeated else getattr(message, field.name)
                inner.SetInParent()
                self.fill(inner, depth - 1)
            elif field.is_repeated:
                getattr(message, field.name).extend(self.scalar(field) for _ in range(self.random.randrange(3)))
            else:
                setattr(message, field.name, self.scalar(field))
        return message

    def scalar(self, field: Any) -> Any:
        """Return a value for a field (a `FieldDescriptor`) that is no message."""
        match field.cpp_type:
            case field.CPPTYPE_STRING:
                return self.raw(200) if field.type == field.TYPE_BYTES else self.text()
            case field.CPPTYPE_BOOL:
                return self.random.random() < 0.5
            case field.CPPTYPE_DOUBLE | field.CPPTYPE_FLOAT:
                return self.random.choice((*map(float, NUMBERS[:8]), float("nan"), float("inf"), -float("inf")))
            case field.CPPTYPE_ENUM:
                return self.random.choice((0, 1, 2, 99, -1))
            case field.CPPTYPE_UINT32 | field.CPPTYPE_UINT64:
                return self.random.choice((0, 1, 2**31, 2**32 - 1))
            case field.CPPTYPE_INT32:
                return self.random.choice((0, 1, -1, 2**31 - 1, -(2**31)))
            case _:
                return self.random.choice((0, 1, -1, 2**63 - 1, -(2**63)))
