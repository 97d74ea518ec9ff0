"""The Codex API: agents, conversations and executions, for front ends that follow its text.

It is documented without a login: programs of this machine need none, and are one user (`gateway.http.local`).  Nobody's
browser is signed in here: cookies do not count, and pages of this machine may call it.
"""

from gateway.config import RATES
from gateway.dialects.codex import commands, errors, lists, queries, shapes
from gateway.dialects.codex.words import WORDS
from gateway.edge.front import Rate
from gateway.http.dialect import Dialect
from meshkit.verifier import API_KEY_HEADER, Credentials

DIALECT = Dialect(
    package="mesh.dialects.codex.v1",
    services=(commands.SERVICE, queries.SERVICE, lists.SERVICE),
    render=errors.render,
    envoy_body=errors.envoy_body,
    error_type=errors.PROBLEM,
    reference=shapes.REFERENCE,
    states=WORDS.column,
    credentials=Credentials(headers=(API_KEY_HEADER,)),
    rates=dict.fromkeys(RATES, (Rate(1_000, per_s=60),)),
    is_caseless=True,
    local_pages=True,
)
