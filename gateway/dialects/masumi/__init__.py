"""The Masumi payment service's API in front of the embedded ledger, and the ledger's controls for tests.

The payment service's own keys come in the header `token`, and the ledger knows them; only the controls ask for a token
of the mesh.
"""

from gateway.dialects.masumi import dev, errors, service, shapes
from gateway.http.dialect import Dialect

DIALECT = Dialect(
    package="mesh.dialects.masumi.v1",
    services=(service.SERVICE, dev.SERVICE),
    render=errors.render,
    envoy_body=errors.envoy_body,
    reference=shapes.REFERENCE,
)
