"""What a request body may be."""

BODY_BYTES_MAX = 4 * 1024 * 1024
"""Of a body that the gateway takes."""
REQUEST_BYTES_MAX = 2 * BODY_BYTES_MAX
"""Of a body that Envoy reads.  The gateway refuses those above half of it, after they were read: a client that is cut
off while it sends may not see the answer."""
ENCODINGS = ("gzip", "deflate")
"""Of a body that a dialect takes (`Content-Encoding`, RFC 9110); `BODY_BYTES_MAX` holds for what it decodes to."""
