"""Koda's runtime API: agents, tasks and their traces, and the sign-in that its dashboard uses.

A task is a job whose target is an agent.  Source: the "Runtime API" page of Koda's documentation.
"""

from gateway.config import EdgeConfig
from gateway.dialects.koda import agents, errors, keys, runtime, shapes, sign_in, tasks
from gateway.dialects.koda.words import WORDS
from gateway.edge.front import NOBODY, Rate, Rates
from gateway.http.dialect import Dialect

_TIERS = ("enterprise", "pro", "free", "sandbox", NOBODY)


def _rates(config: EdgeConfig) -> Rates:
    """Return one bucket a user, whatever they pay: the runtime shares it with the control plane."""
    return dict.fromkeys(_TIERS, (Rate(config.control_plane_rate_limit, per_s=60),))


DIALECT = Dialect(
    package="mesh.dialects.koda.v1",
    services=(runtime.SERVICE, agents.SERVICE, tasks.SERVICE, sign_in.SERVICE),
    render=errors.render,
    envoy_body=errors.envoy_body,
    reference=shapes.REFERENCE,
    states=WORDS.column,
    credentials=keys.CREDENTIALS,
    keys=keys.Keys,
    tuned=_rates,
)
