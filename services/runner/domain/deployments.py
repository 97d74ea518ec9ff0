"""What the `deployments` of a bootstrap say of an app's hosts.

They are written for Ray Serve (kodosumi's bootstraps are its application configs): a list of deployments, of which
each may say `num_replicas`, `autoscaling_config` and `ray_actor_options`.  An app of ours is one thing to run, so the
largest number counts for the whole, and the options of the first that has any.
"""

import dataclasses
import json

from meshkit.errors import Invalid

REPLICAS_MAX = 64
_FIELD = "deployments_json"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Deployments:
    """How an app is placed."""

    replicas: int = 1
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
    replicas, resources = 1, ""
    for item in listed:
        replicas = max(replicas, _replicas(item))
        options = item.get("ray_actor_options") or {}
        if not isinstance(options, dict):
            raise Invalid("ray_actor_options must be a mapping", {_FIELD: ["ray_actor_options must be an object"]})
        resources = resources or (json.dumps(options) if options else "")
    return Deployments(replicas=replicas, resources_json=resources)


def _replicas(item: dict[str, object]) -> int:
    wanted = item.get("num_replicas")
    if wanted in (None, "auto"):
        scaling = item.get("autoscaling_config")
        wanted = scaling.get("min_replicas") if isinstance(scaling, dict) else None
        wanted = max(1, wanted) if isinstance(wanted, int) else 1
    if not isinstance(wanted, int) or isinstance(wanted, bool) or not 1 <= wanted <= REPLICAS_MAX:
        raise Invalid(
            f"num_replicas must be a whole number from 1 to {REPLICAS_MAX}",
            {_FIELD: [f"num_replicas is {wanted!r}: give a whole number from 1 to {REPLICAS_MAX}"]},
        )
    return wanted
