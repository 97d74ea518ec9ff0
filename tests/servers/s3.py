"""A server that talks S3, for tests: moto's, in a thread of this process.

It is no dependency of ours, for it brings forty others.  Who works on the storage of files installs it:

    pip install s3fs 'moto[server]'
"""

import contextlib
import json
import secrets
from collections.abc import Iterator
from typing import NamedTuple

import pytest


class Bucket(NamedTuple):
    """A bucket that is empty, and what a mesh is told of it."""

    name: str
    url: str
    """`AGENTMESH_FILES_URL`: a folder in it."""
    options: str
    """`AGENTMESH_FILES_OPTIONS`."""


@contextlib.contextmanager
def running_s3() -> Iterator[Bucket]:
    """Run a server for the length of the block.  Skips a test where it is not installed."""
    pytest.importorskip("s3fs", reason="pip install s3fs 'moto[server]'")
    moto = pytest.importorskip("moto.server", reason="pip install s3fs 'moto[server]'")
    boto3 = pytest.importorskip("boto3")
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        endpoint, key, secret = f"http://{host}:{port}", "mesh", secrets.token_hex(16)
        name = f"mesh-{secrets.token_hex(8)}"
        client = boto3.client(
            "s3", endpoint_url=endpoint, aws_access_key_id=key, aws_secret_access_key=secret, region_name="us-east-1"
        )
        client.create_bucket(Bucket=name)
        client.close()
        options = json.dumps({"key": key, "secret": secret, "endpoint_url": endpoint})
        yield Bucket(name, f"s3://{name}/files", options)
    finally:
        server.stop()
