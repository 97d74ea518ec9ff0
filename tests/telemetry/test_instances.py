"""How a collector tells processes apart."""

from meshkit.telemetry.otel import resource


def test_no_two_processes_are_one_instance() -> None:
    """Replicas of one machine have numbers; pods are all number 1, and each has a name as its machine's."""
    ids = [
        resource("runner", replica, node).attributes["service.instance.id"]
        for replica, node in ((1, "laptop"), (2, "laptop"), (1, "runner-7d4f-abcde"), (1, "runner-7d4f-fghij"))
    ]

    assert 4 == len(set(ids))
