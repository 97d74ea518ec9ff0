"""Reads forms as browsers send them when they have a file control (multipart/form-data, RFC 7578)."""

import dataclasses
import io

from python_multipart import parse_form
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import Field, File, parse_options_header

from meshkit.errors import Invalid

_FIELDS_MAX = 1000


@dataclasses.dataclass(frozen=True, slots=True)
class Sent:
    """A file of a form."""

    field: str
    name: str
    """As the client calls it: a path perhaps, whatever it may be."""
    data: bytes


def fields(data: bytes, content_type: str) -> dict[str, str]:
    """Return the text fields of a form; of a repeated field, the last.  A file control without a file has none.

    Raises `Invalid` for what is no such form, has too many fields, or has a file: forms take addresses of files.
    """
    found, files = parts(data, content_type)
    for file in files:
        raise Invalid("form has a file", {file.field: ["send the http(s) address of the file instead"]})
    return found


def parts(data: bytes, content_type: str) -> tuple[dict[str, str], list[Sent]]:
    """Return the text fields of a form, of a repeated one the last, and its files.

    Raises `Invalid` for what is no such form, or has too many fields.
    """
    found: dict[str, str] = {}
    files: list[Sent] = []

    def check_count() -> None:
        if len(found) + len(files) >= _FIELDS_MAX:
            raise Invalid("form cannot be read", {"body": [f"send at most {_FIELDS_MAX} fields"]})

    def on_field(field: Field) -> None:
        check_count()
        try:
            found[(field.field_name or b"").decode()] = (field.value or b"").decode()
        except UnicodeDecodeError:
            raise Invalid("form cannot be read", {"body": ["send text as UTF-8"]}) from None

    def on_file(file: File) -> None:
        check_count()
        if file.file_name or file.size:
            file.file_object.seek(0)
            name = (file.field_name or b"file").decode(errors="replace")
            files.append(Sent(name, (file.file_name or b"").decode(errors="replace"), file.file_object.read()))
        file.close()  # a large one is on the disk

    _, options = parse_options_header(content_type)
    if not data.rstrip().endswith(b"--" + options.get(b"boundary", b"") + b"--"):
        raise Invalid("form cannot be read", {"body": ["send it whole, to its closing boundary"]})
    try:
        parse_form({"Content-Type": content_type.encode()}, io.BytesIO(data), on_field, on_file)
    except (FormParserError, ValueError) as error:
        raise Invalid("form cannot be read", {"body": [str(error)[:200]]}) from None
    return found, files
