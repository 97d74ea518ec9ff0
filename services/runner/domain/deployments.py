"""What the `deployments` of a bootstrap say of an app's hosts.

They are written for Ray Serve (kodosumi's bootstraps are its application configs): a list of deployments, of which
each may say `num_replicas`, `autoscaling_config` and `ray_actor_options`.  An app of ours is one thing to run, so the
largest number counts for the whole, and the options of the first that has any.
"""

import dataclasses
import json

from meshkit.errors import Invalid
from services.runner.domain.scaling import Scaling

REPLICAS_MAX = 64
_DELAY_S_MAX = 30 * 86_400
_FIELD = "deployments_json"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Deployments:
    """How an app is placed."""

    replicas: int = 1
    scaling: Scaling | None = None
    """How the number of its hosts follows its jobs; None if it does not."""
    resources_json: str = ""
    """What its placement must provide, such as `{"num_cpus": 2}`: a JSON object; empty if nothing is asked for."""


def parse(text: str) -> Deployments:
    """Read the `deployments` of a bootstrap, as JSON; empty means none.  Raises `Invalid`, naming what is wrong."""
    try:
        listed = json.loads(text or "[]")
    except ValueError:
        listed = None
    if not isinstance(listed, list) or not all(isinstance(item, dict) for item in listed):
        raise Invalid("deployments must be a list of mappings", {_FIELD: ["must be a JSON array of objects"]})
    replicas, resources, scaling = 1, "", None
    for item in listed:
        scaling = scaling or _scaling(item)
        replicas = max(replicas, _replicas(item))
        options = item.get("ray_actor_options") or {}
        if not isinstance(options, dict):
            raise Invalid("ray_actor_options must be a mapping", {_FIELD: ["ray_actor_options must be an object"]})
        resources = resources or (json.dumps(options) if options else "")
    return Deployments(replicas=replicas, resources_json=resources, scaling=scaling)


def _replicas(item: dict[str, object]) -> int:
    wanted = item.get("num_replicas")
    if wanted in (None, "auto"):
        scaling = item.get("autoscaling_config")
        told = scaling if isinstance(scaling, dict) else {}
        wanted = told.get("initial_replicas") or told.get("min_replicas")
        wanted = max(1, wanted) if isinstance(wanted, int) else 1
    if not isinstance(wanted, int) or isinstance(wanted, bool) or not 1 <= wanted <= REPLICAS_MAX:
        raise Invalid(
            f"num_replicas must be a whole number from 1 to {REPLICAS_MAX}",
            {_FIELD: [f"num_replicas is {wanted!r}: give a whole number from 1 to {REPLICAS_MAX}"]},
        )
    return wanted


def _scaling(item: dict[str, object]) -> Scaling | None:
    told = item.get("autoscaling_config")
    if told is None or item.get("num_replicas") not in (None, "auto"):
        return None
    if not isinstance(told, dict):
        raise Invalid("autoscaling_config must be a mapping", {_FIELD: ["autoscaling_config must be an object"]})
    least = _number(told, "min_replicas", 1, 0, REPLICAS_MAX)
    most = _number(told, "max_replicas", max(1, least), max(1, least), REPLICAS_MAX)
    down_s = _number(told, "downscale_delay_s", 600, 0, _DELAY_S_MAX)
    return Scaling(
        least=int(least),
        most=int(most),
        jobs_per_host=_number(told, "target_ongoing_requests", 2, 0.01, 1e6),
        up_delay_s=_number(told, "upscale_delay_s", 30, 0, _DELAY_S_MAX),
        down_delay_s=down_s,
    )


def _number(told: dict[str, object], name: str, default: float, low: float, high: float) -> float:
    value = told.get(name)
    if value is None:
        return default
    whole = name.endswith("_replicas")
    if isinstance(value, bool) or not isinstance(value, int if whole else int | float) or not low <= value <= high:
        kind = "a whole number" if whole else "a number"
        text = f"autoscaling_config.{name} is {value!r}: give {kind} from {low:g} to {high:g}"
        raise Invalid(text, {_FIELD: [text]})
    return value
