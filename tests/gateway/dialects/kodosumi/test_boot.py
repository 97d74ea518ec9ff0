"""What the registry says of a boot, as the panel prints it."""

import pytest
from mesh.registry.v1 import registry_pb2

from gateway.dialects.kodosumi import boot

Event = registry_pb2.BootEvent


@pytest.mark.parametrize(
    ("event", "line"),
    [
        (Event(kind=Event.KIND_STEP_START, step="DEPLOY", message="Starting"), "▶ [DEPLOY] Starting"),
        (Event(kind=Event.KIND_STEP_END, message="Done"), "✓ Done"),
        (Event(kind=Event.KIND_COMPLETE, message="Boot completed"), "✔ Boot completed"),
        (Event(kind=Event.KIND_ERROR, message="Boot failed"), "✗ Boot failed"),
        (Event(kind=Event.KIND_WARNING, target="x", message="trouble"), "⚠ [x] trouble"),
        (Event(kind=Event.KIND_INFO, message="Boot started"), "ℹ Boot started"),
        (Event(kind=Event.KIND_ACTIVITY, target="x", message="Loading", result="OK"), "  • [x] Loading → OK"),
        (Event(kind=Event.KIND_ACTIVITY, message="POST"), "  • POST"),
        (
            Event(kind=Event.KIND_RESULT, message="serve deploy command", result="success"),
            "  serve deploy command → success",
        ),
        (Event(kind=Event.KIND_RESULT, target="x", message="two\nlines"), "  [x] two lines"),
    ],
)
def test_an_event_of_a_boot_is_a_line(event: registry_pb2.BootEvent, line: str) -> None:
    """With a glyph of its own."""
    assert boot.line_of(event) == line
