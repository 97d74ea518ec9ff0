"""The API of an agentic service (MIP-003), for buyers who follow its text: no login, one base URL for each flow.

Nobody's browser is signed in here: cookies do not count.  Source: MIP-003 and its attachment 01.
"""

from gateway.dialects.mip003 import agent, errors, shapes
from gateway.dialects.mip003.words import WORDS
from gateway.edge.front import NOBODY, Rate
from gateway.http.dialect import Dialect
from meshkit.verifier import API_KEY_HEADER, Credentials

DIALECT = Dialect(
    package="mesh.dialects.mip003.v1",
    services=(agent.SERVICE,),
    render=errors.render,
    envoy_body=errors.envoy_body,
    reference=shapes.REFERENCE,
    states=WORDS.column,
    credentials=Credentials(headers=(API_KEY_HEADER,)),
    rates={NOBODY: (Rate(50), Rate(1_200, per_s=60))},
)
