"""What the payment service's bodies look like, for its reference.

The names and their case are the original's.  Bodies are read by `schema.Schema`, which complains in the original's
words; the models here say the same to people and to generators of clients.
"""

from gateway.dialects.masumi.shapes import agents, controls, escrows, sources
from gateway.dialects.masumi.shapes.common import Error
from gateway.http.shapes import Reference

REFERENCE = Reference(
    title="Masumi payment service API",
    description="The API of the Masumi payment service, answered by the embedded ledger: payments of sellers, "
    "purchases of buyers, and the registry of agents.\n\n"
    "Callers name themselves by an API key in the header `token`.  The calls under `/api/v1/dev` are the ledger's own, "
    "in development mode only, and ask for a token of the mesh.",
    error=Error,
    shapes={**sources.SHAPES, **escrows.SHAPES, **agents.SHAPES, **controls.SHAPES},
    errors=(400, 401, 403, 404, 409, 413, 415, 429, 500, 503, 504),
    keys={"token": "An API key of the ledger; in development `/mesh/v1/ledger/developmentToken` tells operators one."},
)
