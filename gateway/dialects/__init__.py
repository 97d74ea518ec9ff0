"""The dialects: foreign REST APIs, one proto file and one thin servicer per noun.

To add a servicer:

1. Describe it in `protos/mesh/dialects/<dialect>/v1/<noun>.proto`: `google.api.http` says the path, and
   `option (mesh.gateway.v1.rule) = {access: …, success: 201}` says who may call it and the status of a success.
   Set `option (mesh.gateway.v1.json_naming) = JSON_NAMING_CAMEL` in the file for camelCase JSON; unset is snake_case.
   A JSON `null` is a `google.protobuf.Value` that holds one; an array at the top is a `ListValue`; numbers that clients
   read are `double` or `int32`, as int64 prints as text.  Requests whose errors the dialect words itself take
   `google.api.HttpBody` (bind it with `body: "…"`) and parse it with `gateway.http.bodies`; SSE and plain text are
   streams of `HttpBody`.  A GET with an `HttpBody` in its request must not share an RPC with a POST.
2. Write the servicer in `gateway/dialects/<dialect>/<noun>.py`: `__init__(self, peers: Peers)`, then one method per
   RPC that makes typed calls inside `with from_rpc():` and raises `meshkit.errors` (or `gateway.http`'s `HttpError`).
   It checks no role.  `gateway.http.exchange.exchange()` has the request's path, query, headers and base URL, and takes
   another status, headers or an empty body for the answer.  End the module with `SERVICE = Service(…)`.
3. Add that `SERVICE` to `SERVICES` below.  A new dialect also needs a `Dialect` in `gateway/http/dialect.py`.

Envoy's routes and transcoder read the descriptors, so there is nothing to configure; `tests/gateway/test_table.py`
fails if a service of the descriptors is missing here.
"""

from gateway.dialects.kodosumi import boot as kodosumi_boot
from gateway.dialects.kodosumi import expose as kodosumi_expose
from gateway.dialects.kodosumi import flows as kodosumi_flows
from gateway.dialects.kodosumi import inputs as kodosumi_inputs
from gateway.dialects.kodosumi import locks as kodosumi_locks
from gateway.dialects.kodosumi import login as kodosumi_login
from gateway.dialects.kodosumi import outputs as kodosumi_outputs
from gateway.dialects.kodosumi import pages as kodosumi_pages
from gateway.dialects.kodosumi import proxy as kodosumi_proxy
from gateway.dialects.kodosumi import roles as kodosumi_roles
from gateway.dialects.kodosumi import timeline as kodosumi_timeline
from gateway.dialects.masumi import dev as masumi_dev
from gateway.dialects.masumi import ledger as masumi
from gateway.dialects.sumi import locks as sumi_locks
from gateway.dialects.sumi import services as sumi
from gateway.http.table import Service

SERVICES: tuple[Service, ...] = (
    kodosumi_login.SERVICE,
    kodosumi_roles.SERVICE,
    kodosumi_flows.SERVICE,
    kodosumi_proxy.SERVICE,
    kodosumi_expose.SERVICE,
    kodosumi_boot.SERVICE,
    kodosumi_outputs.SERVICE,
    kodosumi_timeline.SERVICE,
    kodosumi_inputs.SERVICE,
    kodosumi_locks.SERVICE,
    kodosumi_pages.SERVICE,
    sumi.SERVICE,
    sumi_locks.SERVICE,
    masumi.SERVICE,
    masumi_dev.SERVICE,
)
"""Every dialect service that the gateway answers."""

__all__ = ["SERVICES", "Service"]
