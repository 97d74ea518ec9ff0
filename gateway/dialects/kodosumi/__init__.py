"""The kodosumi panel's API: sign-in, flows and their forms, executions, exposes and their boot.

Its shape is also for paths that are nobody's: people meet it first.  Source: the panel API document and the notebook
"Expose and Sumi API Demonstration".
"""

from gateway.dialects.kodosumi import (
    boot,
    errors,
    expose,
    files,
    flows,
    inputs,
    locks,
    login,
    outputs,
    pages,
    proxy,
    roles,
    shapes,
    stream,
    timeline,
)
from gateway.dialects.kodosumi.words import WORDS
from gateway.http.dialect import Dialect, Through
from meshkit.verifier import API_KEY_HEADER, COOKIE, Credentials

DIALECT = Dialect(
    package="mesh.dialects.kodosumi.v1",
    services=(
        login.SERVICE,
        roles.SERVICE,
        flows.SERVICE,
        proxy.SERVICE,
        expose.SERVICE,
        boot.SERVICE,
        outputs.SERVICE,
        timeline.SERVICE,
        inputs.SERVICE,
        locks.SERVICE,
        pages.SERVICE,
    ),
    passages=(Through(prefix="/-/", passage=proxy.Apps), Through(prefix=files.PREFIX, passage=files.FilesPassage)),
    render=errors.render,
    broken=stream.broken,
    envoy_body=errors.envoy_body,
    reference=shapes.REFERENCE,
    states=WORDS.column,
    credentials=Credentials(headers=(API_KEY_HEADER,), cookies=(COOKIE,)),
)
