"""Our own typed API for who speaks no gRPC: `/mesh/v1/…`, in proto3 JSON, with errors as AIP-193 has them."""

from gateway.dialects.mesh import errors, files, jobs
from gateway.dialects.mesh.reference import REFERENCE
from gateway.http.dialect import Dialect, Through

DIALECT = Dialect(
    package="mesh.dialects.mesh.v1",
    sockets=(jobs.WATCH,),
    passages=(Through(prefix=files.PREFIX, passage=files.FilesPassage),),
    render=errors.render,
    envoy_body=errors.envoy_body,
    reference=REFERENCE,
)
