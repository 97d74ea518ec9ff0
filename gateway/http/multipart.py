"""Reads forms as browsers send them when they have a file control (multipart/form-data, RFC 7578)."""

import io

from python_multipart import parse_form
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import Field, File, parse_options_header

from meshkit.errors import Invalid

_FIELDS_MAX = 1000


def fields(data: bytes, content_type: str) -> dict[str, str]:
    """Return the text fields of a form; of a repeated field, the last.  A file control without a file has none.

    Raises `Invalid` for what is no such form, has too many fields, or has a file: forms take addresses of files.
    """
    found: dict[str, str] = {}

    def on_field(field: Field) -> None:
        if len(found) >= _FIELDS_MAX:
            raise Invalid("form cannot be read", {"body": [f"send at most {_FIELDS_MAX} fields"]})
        try:
            found[(field.field_name or b"").decode()] = (field.value or b"").decode()
        except UnicodeDecodeError:
            raise Invalid("form cannot be read", {"body": ["send text as UTF-8"]}) from None

    def on_file(file: File) -> None:
        if file.file_name or file.size:
            name = (file.field_name or b"file").decode(errors="replace")
            raise Invalid("form has a file", {name: ["send the http(s) address of the file instead"]})

    _, options = parse_options_header(content_type)
    if not data.rstrip().endswith(b"--" + options.get(b"boundary", b"") + b"--"):
        raise Invalid("form cannot be read", {"body": ["send it whole, to its closing boundary"]})
    try:
        parse_form({"Content-Type": content_type.encode()}, io.BytesIO(data), on_field, on_file)
    except (FormParserError, ValueError) as error:
        raise Invalid("form cannot be read", {"body": [str(error)[:200]]}) from None
    return found
