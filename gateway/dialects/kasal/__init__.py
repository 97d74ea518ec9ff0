"""The Kasal API: crews of agents, their tasks and tools, and executions of them, under `/v1` and `/api/v1`.

Source: "Kasal API Reference, RESTful API v1".  Kasal's tokens are the mesh's.  Nobody's browser is signed in here:
cookies do not count.
"""

from gateway.dialects.kasal import (
    agents,
    auth,
    crews,
    errors,
    executions,
    memory,
    shapes,
    socket,
    tasks,
    tools,
)
from gateway.dialects.kasal.words import WORDS
from gateway.edge.front import NOBODY, Rate
from gateway.http.dialect import Dialect
from meshkit.verifier import API_KEY_HEADER, Credentials

_HOUR_S, _MINUTE_S = 3_600, 60
_FREE = (Rate(1_000, _HOUR_S), Rate(100, _MINUTE_S))

DIALECT = Dialect(
    package="mesh.dialects.kasal.v1",
    services=(
        auth.SERVICE,
        crews.SERVICE,
        agents.SERVICE,
        tasks.SERVICE,
        tools.SERVICE,
        executions.SERVICE,
        memory.SERVICE,
    ),
    sockets=socket.SOCKETS,
    render=errors.render,
    envoy_body=errors.envoy_body,
    reference=shapes.REFERENCE,
    states=WORDS.column,
    credentials=Credentials(headers=(API_KEY_HEADER,)),
    own_cookies=(auth.COOKIE,),
    rates={
        "free": _FREE,
        "pro": (Rate(10_000, _HOUR_S), Rate(1_000, _MINUTE_S)),
        "sandbox": _FREE,
        NOBODY: _FREE,
    },
)
