"""What Envoy does when memory or connections come to an end: refuse a few, rather than be ended for everybody."""

from typing import Any

from gateway.config import EdgeConfig

_HEAP = "envoy.resource_monitors.fixed_heap"
_CONNECTIONS = "envoy.resource_monitors.global_downstream_max_connections"
_COUNTED_FROM_LOG2 = 18
"""What a stream holds is counted from 256 KiB on."""
_IDLE_MIN_S = 5
_TYPE = "type.googleapis.com/envoy."


def manager(config: EdgeConfig) -> dict[str, Any]:
    """Return the overload manager.

    Near the end of its memory Envoy gives back what it does not use, is less patient with idle connections, takes no
    requests (503), ends those that hold most, and at last accepts no connections.
    """
    patience = {
        "@type": f"{_TYPE}config.overload.v3.ScaleTimersOverloadActionConfig",
        "timer_scale_factors": [
            {"timer": "HTTP_DOWNSTREAM_CONNECTION_IDLE", "min_timeout": f"{_IDLE_MIN_S}s"},
        ],
    }
    return {
        "refresh_interval": "0.25s",
        "buffer_factory_config": {"minimum_account_to_track_power_of_two": _COUNTED_FROM_LOG2},
        "resource_monitors": [
            _monitor(_HEAP, "fixed_heap.v3.FixedHeapConfig", max_heap_size_bytes=config.edge_memory_mb * 1024 * 1024),
            _monitor(
                _CONNECTIONS,
                "downstream_connections.v3.DownstreamConnectionsConfig",
                max_active_downstream_connections=config.connections_max,
            ),
        ],
        "actions": [
            _action("shrink_heap", threshold={"value": 0.8}),
            {**_action("reduce_timeouts", scaled=_between(0.8, 0.95)), "typed_config": patience},
            _action("disable_http_keepalive", threshold={"value": 0.9}),
            _action("reset_high_memory_stream", scaled=_between(0.9, 0.98)),
            _action("stop_accepting_requests", threshold={"value": 0.95}),
        ],
        "loadshed_points": [
            {"name": "envoy.load_shed_points.tcp_listener_accept", "triggers": [_trigger(threshold={"value": 0.98})]}
        ],
    }


def _monitor(name: str, kind: str, **limits: int) -> dict[str, Any]:
    return {"name": name, "typed_config": {"@type": f"{_TYPE}extensions.resource_monitors.{kind}", **limits}}


def _action(name: str, **when: Any) -> dict[str, Any]:
    return {"name": f"envoy.overload_actions.{name}", "triggers": [_trigger(**when)]}


def _trigger(**when: Any) -> dict[str, Any]:
    return {"name": _HEAP, **when}


def _between(low: float, high: float) -> dict[str, float]:
    return {"scaling_threshold": low, "saturation_threshold": high}
