"""What boots say, as tests compare it."""

from agentmesh_protos.registry.v1 import registry_pb2 as pb

from tests.registry.conftest import said


def facts(events: list[pb.BootEvent]) -> list[str]:
    """Return what was said, a line each."""
    return [said(event) for event in events]


def in_step_order(lines: list[str]) -> list[str]:
    """Return the lines, those of LOAD sorted: apps load side by side."""
    begin = next(number for number, item in enumerate(lines) if item.startswith("step_started step=LOAD"))
    end = next(number for number, item in enumerate(lines) if item.startswith("step_ended step=LOAD"))
    return [*lines[: begin + 1], *sorted(lines[begin + 1 : end]), *lines[end:]]
