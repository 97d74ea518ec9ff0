"""A server that talks S3, for tests: moto's, in a thread of this process.

It is no dependency of ours, for it brings forty others, and so what needs it is no part of the suite: `make buckets`
installs it beside, and runs that.
"""

import contextlib
import importlib
import json
import os
import secrets
from collections.abc import Iterator
from typing import Any, NamedTuple

IS_THERE = "AGENTMESH_TEST_BUCKETS" in os.environ
"""Whether it is installed."""


class Bucket(NamedTuple):
    """A bucket that is empty, and what a mesh is told of it."""

    name: str
    url: str
    """`AGENTMESH_FILES_URL`: a folder in it."""
    options: str
    """`AGENTMESH_FILES_OPTIONS`."""


@contextlib.contextmanager
def running_s3() -> Iterator[Bucket]:
    """Run a server for the length of the block."""
    moto = importlib.import_module("moto.server")
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        endpoint, key, secret = f"http://{host}:{port}", "mesh", secrets.token_hex(16)
        name = f"mesh-{secrets.token_hex(8)}"
        options = json.dumps({"key": key, "secret": secret, "endpoint_url": endpoint})
        bucket = Bucket(name, f"s3://{name}/files", options)
        with client(bucket) as s3:
            s3.create_bucket(Bucket=name)
        yield bucket
    finally:
        server.stop()


@contextlib.contextmanager
def client(bucket: Bucket) -> Iterator[Any]:
    """A client of the bucket's server that is not the mesh's."""
    said = json.loads(bucket.options)
    boto3 = importlib.import_module("boto3")
    found = boto3.client(
        "s3",
        endpoint_url=said["endpoint_url"],
        aws_access_key_id=said["key"],
        aws_secret_access_key=said["secret"],
        region_name="us-east-1",
    )
    with contextlib.closing(found):
        yield found
