"""How large a request may be."""

BODY_BYTES_MAX = 4 * 1024 * 1024
"""Of a body that the gateway takes."""
REQUEST_BYTES_MAX = 2 * BODY_BYTES_MAX
"""Of a body that Envoy reads.  The gateway refuses those above half of it, after they were read: see `edge.lua`."""
