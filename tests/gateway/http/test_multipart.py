"""Forms that browsers send with a file control."""

import pytest

from gateway.http import multipart
from meshkit.errors import Invalid

KIND = 'multipart/form-data; boundary="x y"'


def part(name: str, text: str, more: str = "") -> bytes:
    return f'--x y\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n{text}\r\n'.encode()


END = b"--x y--\r\n"


def test_fields_are_read() -> None:
    """Of a repeated field the last; a file control without a file has none; text is UTF-8."""
    body = part("a", "1") + part("a", "ü\r\n2") + part("empty", "") + part("f", "", '; filename=""') + END

    assert multipart.fields(body, KIND) == {"a": "ü\r\n2", "empty": ""}


@pytest.mark.parametrize(
    ("body", "kind", "field", "remedy"),
    [
        (part("a", "1") + END, "multipart/form-data", "body", "boundary"),
        (part("a", "1"), KIND, "body", "send it whole"),
        (b"", KIND, "body", "send it whole"),
        (b"--other\r\n\r\n" + END, KIND, "body", ""),
        (part("f", "data", '; filename="a.txt"') + END, KIND, "f", "send the http(s) address"),
        (part("f", "", '; filename="empty.txt"') + END, KIND, "f", "send the http(s) address"),
        (part("a", "1").replace(b"1", b"\xff") + END, KIND, "body", "UTF-8"),
        (b"".join(part(f"f{n}", "") for n in range(1_001)) + END, KIND, "body", "at most 1000 fields"),
    ],
)
def test_what_is_no_form_is_told(body: bytes, kind: str, field: str, remedy: str) -> None:
    """With the field and what to do."""
    with pytest.raises(Invalid) as caught:
        multipart.fields(body, kind)

    assert list(caught.value.fields) == [field]
    assert remedy in caught.value.fields[field][0]
