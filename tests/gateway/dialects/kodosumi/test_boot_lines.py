"""What happens in a boot, in the words of the kodosumi panel: every line as in the seed notebook."""

import datetime
from typing import Any

import pytest
from agentmesh_protos.registry.v1 import registry_pb2 as pb
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from gateway.dialects.kodosumi.boot_lines import lines_of

NOON = Timestamp(seconds=1_765_350_164)
CLOCK = datetime.datetime.fromtimestamp(NOON.seconds).strftime("%Y-%m-%d %H:%M:%S")
Kind = pb.BootEvent
SHOP = "exposes/shop"


def counts(**values: int) -> pb.BootCounts:
    """Return counts; what is not named is 0."""
    return pb.BootCounts(**values)


def event(kind: pb.BootEvent.Kind.ValueType = Kind.KIND_ACTIVITY, **fact: Any) -> pb.BootEvent:
    """Return an event at noon with one fact."""
    return pb.BootEvent(kind=kind, time=NOON, **fact)


def seconds(value: float) -> Duration:
    """Return a duration."""
    return Duration(seconds=int(value), nanos=int(value % 1 * 1e9))


def place(*, last: pb.BootEvent.Kind.ValueType) -> list[pb.BootEvent]:
    """Return what is said when one app with two flows is placed."""
    loaded = counts(app_count=1, running_count=1)
    return [
        event(boot_started=pb.BootStarted()),
        event(step_started=pb.StepStarted(step=pb.BOOT_STEP_PREPARE)),
        event(expose_prepared=pb.ExposePrepared(expose=SHOP)),
        event(step_ended=pb.StepEnded(step=pb.BOOT_STEP_PREPARE, counts=counts(app_count=1))),
        event(step_started=pb.StepStarted(step=pb.BOOT_STEP_LOAD, timeout=seconds(1800), counts=counts(app_count=1))),
        event(app_deploying=pb.AppDeploying(expose=SHOP)),
        event(app_settled=pb.AppSettled(expose=SHOP, state=pb.EXPOSE_STATE_RUNNING, flow_count=2)),
        event(step_ended=pb.StepEnded(step=pb.BOOT_STEP_LOAD, counts=loaded)),
        event(step_started=pb.StepStarted(step=pb.BOOT_STEP_REGISTER, counts=counts(flow_count=2))),
        event(flows_found=pb.FlowsFound(expose=SHOP, paths=["/", "/a/async"])),
        event(step_ended=pb.StepEnded(step=pb.BOOT_STEP_REGISTER, counts=counts(flow_count=2))),
        event(step_started=pb.StepStarted(step=pb.BOOT_STEP_CHECK, counts=counts(flow_count=2))),
        event(flows_probed=pb.FlowsProbed(expose=SHOP, flow_count=2)),
        event(flow_checked=pb.FlowChecked(expose=SHOP, url="/shop/", http_status=200, alive=True)),
        event(flow_checked=pb.FlowChecked(expose=SHOP, url="/shop/a/async", error_reason="DEADLINE_EXCEEDED")),
        event(step_ended=pb.StepEnded(step=pb.BOOT_STEP_CHECK, counts=counts(flow_count=2, alive_count=1))),
        event(step_started=pb.StepStarted(step=pb.BOOT_STEP_RECORD, counts=counts(flow_count=2, alive_count=1))),
        event(meta_merged=pb.MetaMerged(expose=SHOP, flow_count=2, new_count=1, preserved_count=1)),
        event(
            step_ended=pb.StepEnded(
                step=pb.BOOT_STEP_RECORD,
                counts=counts(flow_count=2, alive_count=1, new_count=1, preserved_count=1),
            )
        ),
        event(last, boot_completed=pb.BootCompleted(runtime=seconds(16.2), counts=loaded)),
    ]


PLACED = """\
ℹ {0}Boot started at {clock}
▶ [DEPLOY] {0}Starting Ray Serve deployment
  • [serve_config.yaml] {0}Loading global configuration → OK
  • [shop] {0}Prepared deployment config → route=/shop
  • [<tmp>/serve_deploy.yaml] {0}Created merged deployment config
  • [serve] {0}Running serve deploy (1 applications)
  {0}serve deploy command → success
✓ {0}Deployment initiated (1 applications)
▶ [HEALTH] {0}Waiting for deployments to complete (timeout: 1800s)
  • [shop] {0}Status: DEPLOYING
  [shop] {0}Reached final state → RUNNING
✓ {0}All deployments complete (1 running, 0 failed)
▶ [REGISTER] {0}Registering flow endpoints
  • {0}POST /flow/register → /-/routes
  {0}Registered 2 flow(s) via /-/routes
  • [shop] {0}Discovered 2 flow endpoint(s) → async
✓ {0}Flow registration complete (2 registered, 2 discovered)
▶ [RETRIEVE] {0}Testing flow endpoints
  • [shop] {0}Checking 2 endpoint(s)
  [shop] {0}HEAD /shop/ → 200 OK (alive)
  [shop] {0}HEAD /shop/a/async → deadline exceeded (dead)
✓ {0}Retrieved 2 flow endpoints (1 alive, 1 dead)
▶ [UPDATE] {0}Updating expose metadata
  • [GET /flow] {0}Fetching registered flows
  {0}Retrieved flows → 2 flows
  • [shop] {0}Processing 2 flow(s)
  [shop] {0}Updated meta → 1 new, 1 preserved
✓ {0}Metadata update complete (1 new, 1 preserved, 1 alive)
{glyph} {0}Boot completed at {clock} (runtime: 16.2s)"""


def test_a_boot() -> None:
    """Steps, activities and results, in the seed's words and order."""
    assert PLACED.format("", glyph="✔", clock=CLOCK).splitlines() == lines_of(place(last=Kind.KIND_COMPLETE))


def test_a_refresh() -> None:
    """The panel makes two boots of it, each line of which has a prefix."""
    events = [
        event(refresh_started=pb.RefreshStarted(expose=SHOP, enabled=True)),
        event(flows_withdrawn=pb.FlowsWithdrawn(expose=SHOP, enabled=True, runtime=seconds(0.04))),
        *place(last=Kind.KIND_STEP_END),
        event(Kind.KIND_COMPLETE, refresh_completed=pb.RefreshCompleted(expose=SHOP, runtime=seconds(17))),
    ]

    expected = [
        f"ℹ Refreshing expose 'shop' at {CLOCK}",
        "▶ [UPDATE] Step 1/4: Disabling expose 'shop'",
        "  [shop] Expose disabled → enabled=False",
        "▶ [DEPLOY] Step 2/4: Running boot process (remove flows)",
        f"ℹ [Boot 1/2] Boot started at {CLOCK}",
        "▶ [DEPLOY] [Boot 1/2] Starting Ray Serve deployment",
        "  • [serve_config.yaml] [Boot 1/2] Loading global configuration → OK",
        "  • [shop] [Boot 1/2] Removed flows",
        "✓ [Boot 1/2] Deployment skipped (no applications)",
        f"✓ [Boot 1/2] Boot completed at {CLOCK} (runtime: 0.0s)",
        "▶ [UPDATE] Step 3/4: Enabling expose 'shop'",
        "  [shop] Expose enabled → enabled=True",
        "▶ [DEPLOY] Step 4/4: Running boot process (re-add flows)",
        *PLACED.format("[Boot 2/2] ", glyph="✓", clock=CLOCK).splitlines(),
        f"✔ Refresh complete at {CLOCK} (runtime: 17.0s)",
    ]
    assert expected == lines_of(events)


def test_a_refresh_of_a_disabled_expose() -> None:
    """Its app is stopped and nothing is started."""
    events = [
        event(refresh_started=pb.RefreshStarted(expose=SHOP)),
        event(app_removed=pb.AppRemoved(expose=SHOP)),
        event(flows_withdrawn=pb.FlowsWithdrawn(expose=SHOP, runtime=seconds(0))),
        event(boot_started=pb.BootStarted()),
        event(step_ended=pb.StepEnded(step=pb.BOOT_STEP_PREPARE)),
        event(Kind.KIND_STEP_END, boot_completed=pb.BootCompleted(runtime=seconds(0))),
    ]

    lines = lines_of(events)

    assert "  • [shop] [Boot 1/2] Removed application → stopped" in lines
    assert "  [shop] Expose stays disabled → enabled=False" in lines
    assert lines[-2:] == [
        "  [Boot 2/2] Cleanup shutdown → success",
        f"✓ [Boot 2/2] Boot completed at {CLOCK} (runtime: 0.0s)",
    ]


def test_a_shutdown() -> None:
    """It names the states it has set; what it has stopped it does not name."""
    events = [
        event(stop_started=pb.StopStarted()),
        event(step_started=pb.StepStarted(step=pb.BOOT_STEP_REMOVE)),
        event(app_removed=pb.AppRemoved(expose=SHOP)),
        event(app_remove_failed=pb.AppRemoveFailed(expose="exposes/form", message="it clings to life")),
        event(step_ended=pb.StepEnded(step=pb.BOOT_STEP_REMOVE, counts=counts(left_count=1))),
        event(step_started=pb.StepStarted(step=pb.BOOT_STEP_RECORD)),
        event(expose_stopped=pb.ExposeStopped(expose=SHOP)),
        event(step_ended=pb.StepEnded(step=pb.BOOT_STEP_RECORD, counts=counts(flow_count=2))),
        event(Kind.KIND_COMPLETE, stop_completed=pb.StopCompleted(runtime=seconds(1))),
    ]

    assert lines_of(events) == [
        "▶ [DEPLOY] Shutting down Ray Serve",
        "  • [serve] Running serve shutdown -y",
        "⚠ [form] Could not be stopped: it clings to life",
        "  serve shutdown → 1 application(s) still run",
        "▶ [UPDATE] Updating expose states",
        "  • [shop] Set state to DEAD",
        "  • [Clearing flow registry] PUT /flow/register",
        "  Flow registry refreshed → 2 flows remaining",
        "✔ Shutdown complete",
    ]


def test_a_boot_of_nothing() -> None:
    """It cleans up and ends well."""
    events = [
        event(expose_skipped=pb.ExposeSkipped(expose="exposes/draft", reason=pb.ExposeSkipped.REASON_DRAFT)),
        event(step_ended=pb.StepEnded(step=pb.BOOT_STEP_PREPARE)),
        event(app_removed=pb.AppRemoved(expose=SHOP)),
        event(Kind.KIND_COMPLETE, boot_completed=pb.BootCompleted(runtime=seconds(0.1), counts=counts(left_count=2))),
    ]

    assert lines_of(events) == [
        "⚠ [draft] No bootstrap yet: skipped",
        "⚠ No applications to deploy",
        "✓ Deployment skipped (no applications)",
        "ℹ No applications deployed, running cleanup shutdown",
        "  • [shop] Removed application → stopped",
        "  Cleanup shutdown → 2 application(s) still run",
        f"✔ Boot completed at {CLOCK} (runtime: 0.1s)",
    ]


@pytest.mark.parametrize(
    ("fact", "lines"),
    [
        (
            {"app_preparing": pb.AppPreparing(expose=SHOP, message="installing 2 packages")},
            ["  • [shop] installing 2 packages"],
        ),
        ({"expose_noted": pb.ExposeNoted(expose=SHOP, message="args has no effect")}, ["⚠ [shop] args has no effect"]),
        (
            {"app_settled": pb.AppSettled(expose=SHOP, state=pb.EXPOSE_STATE_DEPLOY_FAILED, message="No\nmodule")},
            ["  [shop] Reached final state → DEPLOY_FAILED", "⚠ [shop] No module"],
        ),
        (
            {"app_settled": pb.AppSettled(expose=SHOP, state=pb.EXPOSE_STATE_OUTDATED, message="No module")},
            ["  [shop] Reached final state → DEPLOY_FAILED", "⚠ [shop] No module (the version before still serves)"],
        ),
        (
            {"step_ended": pb.StepEnded(step=pb.BOOT_STEP_LOAD, counts=counts(failed_count=2))},
            [
                "✓ All deployments complete (0 running, 2 failed)",
                "⚠ No applications running, skipping remaining steps",
            ],
        ),
        (
            {"step_ended": pb.StepEnded(step=pb.BOOT_STEP_LOAD, counts=counts(outdated_count=1, failed_count=1))},
            ["✓ All deployments complete (0 running, 2 failed)"],
        ),
        (
            {"expose_skipped": pb.ExposeSkipped(expose=SHOP, reason=pb.ExposeSkipped.REASON_INVALID, message="bad")},
            ["⚠ [shop] bad"],
        ),
        (
            {"flow_checked": pb.FlowChecked(expose=SHOP, url="/shop/", http_status=599)},
            ["  [shop] HEAD /shop/ → 599 (dead)"],
        ),
        (
            {"expose_gone": pb.ExposeGone(expose=SHOP, flow_count=1)},
            [
                "  • [shop] Processing 1 flow(s)",
                "⚠ [shop] Deleted during the boot: its app runs until the next one",
            ],
        ),
        (
            {"boot_failed": pb.BootFailed(operation=pb.BOOT_OPERATION_BOOT, message="it was\ncancelled")},
            [f"✗ Boot failed at {CLOCK} (runtime: 0.0s): it was cancelled"],
        ),
        (
            {"boot_failed": pb.BootFailed(operation=pb.BOOT_OPERATION_REFRESH, expose=SHOP, message="No module")},
            [f"✗ Refresh failed at {CLOCK} (runtime: 0.0s): [shop] No module"],
        ),
        ({}, []),
    ],
)
def test_trouble(fact: dict[str, Any], lines: list[str]) -> None:
    """What went wrong is on one line, with the expose it is about; a fact without words is left out."""
    assert lines == lines_of([event(**fact)])


def test_every_fact_has_words() -> None:
    """A fact that the contract gains is not left out by mistake; the start of a shutdown alone has no line."""
    silent = set()
    for field in pb.BootEvent.DESCRIPTOR.oneofs_by_name["fact"].fields:
        message = pb.BootEvent()
        getattr(message, field.name).SetInParent()
        if not lines_of([message]):
            silent.add(field.name)

    assert silent == {"stop_started"}
