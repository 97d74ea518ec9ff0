"""The dialects: foreign REST APIs, each a folder of protos and a folder of thin servicers.

To add a dialect:

1. Describe it in `protos/mesh/dialects/<dialect>/v1/<noun>.proto`: `google.api.http` says the path, and
   `option (mesh.gateway.v1.rule) = {access: …, success: 201}` says who may call it and the status of a success.
   Set `option (mesh.gateway.v1.json_naming) = JSON_NAMING_CAMEL` in the file for camelCase JSON; unset is snake_case.
   A JSON `null` is a `google.protobuf.Value` that holds one; an array at the top is a `ListValue`; numbers that clients
   read are `double` or `int32`, as int64 prints as text.  Requests whose errors the dialect words itself take
   `google.api.HttpBody` (bind it with `body: "…"`) and parse it with `gateway.http.bodies`; SSE and plain text are
   streams of `HttpBody`.  A GET with an `HttpBody` in its request must not share an RPC with a POST.  `make generate`.
2. Write the servicers in `gateway/dialects/<dialect>/<noun>.py`: `__init__(self, peers: Peers)`, then one method per
   RPC that makes typed calls inside `with from_rpc():`, or asks `gateway.core`, and raises `meshkit.errors` (or
   `gateway.http.errors.HttpError`).  It checks no role.  `gateway.http.exchange.exchange()` has the request's path,
   query, headers and base URL, and takes another status, headers or an empty body for the answer;
   `gateway.http.answers` makes JSON.  End the module with `SERVICE = Service(…)`.
3. Export `DIALECT` from `gateway/dialects/<dialect>/__init__.py`: the services, how errors are rendered, a word for
   each state of a job, and, where they are not the mesh's, credentials, rates and WebSockets (`gateway.http.dialect`).
4. Add it to `DIALECTS` below.

Everything else follows from the DIALECT and the descriptors: Envoy's routes, transcoders, rate buckets and own replies,
which paths are the dialect's, and who may call.  `tests/gateway/dialects/test_dialects.py` holds every dialect to that,
and `.importlinter` keeps them apart.
"""

from gateway.dialects import codex, kasal, koda, kodosumi, masumi, mesh, mip003, sumi
from gateway.http.dialect import Dialect

DIALECTS: tuple[Dialect, ...] = (
    kodosumi.DIALECT,
    sumi.DIALECT,
    mip003.DIALECT,
    masumi.DIALECT,
    kasal.DIALECT,
    codex.DIALECT,
    koda.DIALECT,
    mesh.DIALECT,
)
"""Every dialect; the first one's shape is for paths that are nobody else's."""
