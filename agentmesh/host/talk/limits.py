"""How much a job may say at once.

Every limit counts bytes as they travel, so that nothing a job says is too large for the stream that its reports share
with those of all others.
"""

from google.protobuf.message import Message

MESSAGE_BYTES_MAX = 16 * 1024 * 1024
"""Of a gRPC message between host and runner."""

WHOLE_BYTES_MAX = 8 * 1024 * 1024
"""Of what an app says in one message: its flows, an answer.  Others share the gRPC message with it."""

KIND_CHARS_MAX = 64
"""Of an event's kind."""

PAYLOAD_BYTES_MAX = 4 * 1024 * 1024
"""Of an event, a result, a lock's form."""

DETAIL_BYTES_MAX = 64 * 1024
"""Of a traceback; a longer one loses its middle."""

FRAME_BYTES_MAX = PAYLOAD_BYTES_MAX + 1024 * 1024
"""Of what a job sends to its host in one piece."""


def encodable(text: str) -> str:
    """Replace lone surrogates, which UTF-8 and so protobuf cannot carry."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def size(text: str) -> int:
    """Return how many bytes `text` takes in UTF-8."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "replace"))


def check(text: str, what: str) -> None:
    """Raise `ValueError` if `text` is too large to be sent; `what` is `a result`, `a debug event`."""
    if (bytes_count := size(text)) > PAYLOAD_BYTES_MAX:
        raise ValueError(
            f"{what} of {len(text)} characters takes {bytes_count} bytes: keep it under 4 MiB, or link to it"
        )


def check_message(message: Message, what: str) -> None:
    """Raise `ValueError` if `message` is too large to be sent; `what` is `the app's answer`."""
    if (bytes_count := message.ByteSize()) > WHOLE_BYTES_MAX:
        raise ValueError(f"{what} takes {bytes_count} bytes: keep it under 8 MiB")


def shortened(text: str, bytes_max: int = DETAIL_BYTES_MAX) -> str:
    """Return `text` without its middle if it is longer than `bytes_max`, and without what cannot be encoded."""
    data = text.encode("utf-8", "replace")
    if len(data) <= bytes_max:
        return data.decode()
    half = bytes_max // 2
    return f"{data[:half].decode(errors='ignore')}\n…\n{data[-half:].decode(errors='ignore')}"
