"""Calls of the Connect protocol (https://connectrpc.com/docs/protocol) that Envoy's bridge cannot make gRPC of.

Those in JSON, compressed ones and those by GET: the edge hands them over as they came (`connect.lua`), but for three
headers that the bridge would take them for its own by.  Here each becomes one call of gRPC, with the headers that its
client sent, so that whoever answers judges it as if it had come as gRPC: tokens, deadlines, shares, all of it.

- `methods`: which method is meant
- `messages`: JSON and binary
- `envelopes`: messages in a stream, and gzip
- `errors`: what a client is told
- `asking`: what a client asks, and how it wants to be answered
- `calls`: the call
"""

from gateway.http.connect.calls import Calls

__all__ = ["Calls"]
