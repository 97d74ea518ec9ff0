"""What an app's form says is wrong, as an error that callers act on."""

from collections.abc import Iterable, Mapping

from meshkit.errors import Invalid


def refused(what: str, errors: Mapping[str, Iterable[object]]) -> Invalid:
    """Return the error for messages by field; `what` is refused by them."""
    fields = {name: [str(text) for text in texts] for name, texts in errors.items() if texts}
    shown = "; ".join(f"{name}: {', '.join(texts)}" for name, texts in fields.items())
    return Invalid(f"{what}: {shown}", fields)
