"""The programs a mesh is made of, by the names people use."""

SERVICES = {
    "auth": "services.auth",
    "registry": "services.registry",
    "runner": "services.runner",
    "payments": "services.payments",
    "ledger": "services.ledger",
    "gateway": "gateway",
    "nursery": "agentmesh.host",
    "edge": "gateway.envoy",
}
"""Name: module, started as `python -m MODULE`."""
