"""The Masumi payment service's API in front of the embedded ledger, and the ledger's controls for tests.

The payment service's own keys come in the header `token`, and the ledger knows them; only the controls ask for a token
of the mesh.
"""

from gateway.dialects.masumi import dev, errors, service, shapes
from gateway.http.dialect import Dialect

_UNSERVED = (
    *("api-key", "wallet", "payment-source-extended", "rpc-api-keys", "utxos", "webhooks", "monitoring", "invoice"),
    *("swap", "signature", "reveal-data", "x402", "inbox-agents"),
)
"""What else the payment service has: its keys, its node, its hooks."""

DIALECT = Dialect(
    package="mesh.dialects.masumi.v1",
    services=(service.SERVICE, dev.SERVICE),
    unserved=tuple(f"/api/v1/{noun}" for noun in _UNSERVED),
    render=errors.render,
    envoy_body=errors.envoy_body,
    reference=shapes.REFERENCE,
)
