"""What `agentmesh boot` prints: a line an app, and a line for what is in trouble."""

import pytest
from agentmesh_protos.registry.v1 import registry_pb2 as pb

from agentmesh._client.records import to_boot_step
from agentmesh.cli.definitions import booting

SHOP = "exposes/shop"


def settled(state: "pb.ExposeState.ValueType", message: str = "", flow_count: int = 0) -> pb.BootEvent:
    """Return what is said when an app has been loaded, or not."""
    settled = pb.AppSettled(expose=SHOP, state=state, message=message, flow_count=flow_count)
    settled.load_time.FromMilliseconds(432)
    return pb.BootEvent(app_settled=settled)


@pytest.mark.parametrize(
    ("event", "line", "failure"),
    [
        (settled(pb.EXPOSE_STATE_RUNNING, flow_count=3), "✓ shop  3 flows  0.4 s", False),
        (settled(pb.EXPOSE_STATE_RUNNING, flow_count=1), "✓ shop  1 flow  0.4 s", False),
        (settled(pb.EXPOSE_STATE_DEPLOY_FAILED, "SyntaxError: no\nwhere"), "✗ shop  SyntaxError: no where", True),
        (
            settled(pb.EXPOSE_STATE_OUTDATED, "KeyError: 'x'", 2),
            "! shop  the new version did not load: KeyError: 'x'; the one before still serves",
            True,
        ),
        (
            pb.BootEvent(expose_skipped=pb.ExposeSkipped(expose=SHOP, reason=pb.ExposeSkipped.REASON_DRAFT)),
            "- shop  no bootstrap yet",
            False,
        ),
        (
            pb.BootEvent(
                expose_skipped=pb.ExposeSkipped(
                    expose=SHOP, reason=pb.ExposeSkipped.REASON_INVALID, message="no import_path"
                )
            ),
            "✗ shop  no import_path",
            True,
        ),
        (
            pb.BootEvent(app_preparing=pb.AppPreparing(expose=SHOP, message="installing 2 packages")),
            "- shop  installing 2 packages …",
            False,
        ),
        (
            pb.BootEvent(expose_noted=pb.ExposeNoted(expose=SHOP, message="args has no effect")),
            "! shop  args has no effect",
            False,
        ),
        (pb.BootEvent(app_removed=pb.AppRemoved(expose=SHOP)), "- shop  stopped", False),
        (
            pb.BootEvent(app_remove_failed=pb.AppRemoveFailed(expose=SHOP, message="it clings")),
            "✗ shop  could not be stopped: it clings",
            True,
        ),
        (
            pb.BootEvent(flow_checked=pb.FlowChecked(expose=SHOP, url="/shop/a", http_status=500)),
            "! shop  /shop/a does not answer: 500 Internal Server Error",
            False,
        ),
        (
            pb.BootEvent(flow_checked=pb.FlowChecked(expose=SHOP, url="/shop/a", error_reason="DEADLINE_EXCEEDED")),
            "! shop  /shop/a does not answer: deadline exceeded",
            False,
        ),
        (
            pb.BootEvent(flow_checked=pb.FlowChecked(expose=SHOP, url="/shop/a", http_status=200, alive=True)),
            None,
            False,
        ),
        (
            pb.BootEvent(boot_failed=pb.BootFailed(operation=pb.BOOT_OPERATION_BOOT, message="it was cancelled")),
            "✗ the boot failed: it was cancelled",
            False,
        ),
        (pb.BootEvent(step_started=pb.StepStarted(step=pb.BOOT_STEP_LOAD)), None, False),
        (pb.BootEvent(), None, False),
    ],
)
def test_a_fact_is_a_line(event: pb.BootEvent, line: str | None, failure: bool) -> None:
    """Or none; what is not as it was defined fails the command."""
    step = to_boot_step(event)
    said = booting.line(step)

    assert line == (said[0] if said else None)
    assert failure is booting.is_failure(step)


def test_a_step_says_all_that_the_event_does() -> None:
    """States are words, durations seconds, counts by name; what is absent is left out."""
    started = pb.StepStarted(step=pb.BOOT_STEP_LOAD, counts=pb.BootCounts(app_count=2))
    started.timeout.FromSeconds(1800)
    event = pb.BootEvent(kind=pb.BootEvent.KIND_STEP_START, step_started=started)

    step = to_boot_step(event)

    assert ("step_start", "step_started", "", "") == (step.kind, step.fact, step.expose, step.message)
    assert {"step", "timeout_s", "counts"} == step.details.keys()
    assert ("load", 1800.0, 2) == (step.details["step"], step.details["timeout_s"], step.details["counts"]["app_count"])
