"""What the reference of our own API says beyond the contract."""

from google.rpc import status_pb2

from gateway.http.shapes import Reference

REFERENCE = Reference(
    title="Agentmesh API",
    description="The typed API of the mesh in JSON: jobs, locks, flows, exposes, users and payments.  The same calls "
    "are there as gRPC, on the same port.\n\n"
    "Names are lower camel case; snake case is taken too.  Whole numbers of 64 bits come as text.  Streams are a JSON "
    "document on each line; a line without news is a sign of life.  Errors are `google.rpc.Status`: its `code` is "
    "gRPC's, its `details` say why in a form that a program can read (AIP-193).",
    error=status_pb2.Status,
    errors=(400, 401, 403, 404, 409, 413, 415, 429, 500, 503, 504),
)
