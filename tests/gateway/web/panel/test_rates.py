"""How much a mesh does."""

from gateway.web.panel import rates

_BEFORE = """\
# HELP rpc_server_call_duration_seconds Calls of our methods
# TYPE rpc_server_call_duration_seconds histogram
rpc_server_call_duration_seconds_count{service="auth",rpc_method="a/B"} 10
rpc_server_call_duration_seconds_count{service="runner",rpc_method="c/D"} 20.0
agentmesh_events_total{service="runner"} 100
agentmesh_events_total nonsense
something_else 7
"""


def test_what_processes_counted_is_added_up_and_compared() -> None:
    """The second time one looks, it is known how fast it grows; who started anew did nothing meanwhile."""
    before = rates.counted(_BEFORE, at=1.0)
    now = rates.counted(_BEFORE.replace(" 20.0", " 40.0").replace(" 100", " 50"), at=3.0)

    assert [("Calls of services", 30, None), ("Lines of logs", 100, None)] == [
        (rate.name, rate.total, rate.per_s) for rate in rates.between(None, before)
    ]
    assert [("Calls of services", 50, 10.0), ("Lines of logs", 50, 0.0)] == [
        (rate.name, rate.total, rate.per_s) for rate in rates.between(before, now)
    ]
