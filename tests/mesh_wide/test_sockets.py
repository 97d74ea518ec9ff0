"""Nobody else on this machine can reach what is behind the front door, or stand in for it."""

import os
import pathlib
import socket
import stat
import time
from urllib.parse import urlsplit

import grpc
import psutil
import pytest
from agentmesh_protos.runner.v1 import host_pb2_grpc, job_pb2, job_pb2_grpc, replica_pb2, replica_pb2_grpc

from agentmesh.testing import Mesh
from tests.ending import wait_procs
from tests.families import asked, family
from tests.mesh_wide import meshes
from tests.meshkit.net.test_endpoints import IS_ROOT, somebody_else

BEHIND = {"auth", "registry", "runner", "payments", "ledger", "gateway", "web", "nursery"}


def _sockets(mesh: Mesh) -> pathlib.Path:
    return pathlib.Path(meshes.child(mesh, "services.auth").environ()["AGENTMESH_SOCKETS_DIR"])


def test_only_the_front_door_is_a_port(mesh: Mesh) -> None:
    """Whichever process of the mesh one looks at."""
    shown = asked(family(mesh.process.pid), lambda each: each.net_connections("inet"))
    listening = {found.laddr for _, opened in shown for found in opened if found.status == psutil.CONN_LISTEN}

    door = urlsplit(mesh.url)
    assert {(door.hostname, door.port)} == listening


def test_what_is_behind_it_is_in_a_folder_of_the_meshs_user(mesh: Mesh) -> None:
    """Each a socket; another user can neither open one nor take a name there."""
    folder = _sockets(mesh)
    there = {path.stem: path for path in folder.iterdir()}

    assert set(there) == BEHIND
    assert 0o700 == stat.S_IMODE(folder.stat().st_mode)
    assert all(0o600 == stat.S_IMODE(path.stat().st_mode) for path in there.values())
    if IS_ROOT:
        for path in there.values():
            with somebody_else(), socket.socket(socket.AF_UNIX) as probe:
                with pytest.raises(PermissionError):
                    probe.connect(str(path))
                with pytest.raises(PermissionError):
                    probe.bind(str(path.with_name("mine.sock")))


async def test_hosts_have_a_door_of_their_own(mesh: Mesh) -> None:
    """In a folder of its own, with no other service behind it than theirs."""
    door = meshes.child(mesh, "services.runner").environ()["AGENTMESH_HOSTS_ADDRESS"]
    path = pathlib.Path(door.removeprefix("unix:"))
    assert ["runner.sock"] == os.listdir(path.parent)
    assert 0o700 == stat.S_IMODE(path.parent.stat().st_mode)
    async with grpc.aio.insecure_channel(door) as channel:
        stub = job_pb2_grpc.JobServiceStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.ListJobs(job_pb2.ListJobsRequest(), timeout=30)
        assert grpc.StatusCode.UNIMPLEMENTED == caught.value.code()
        with pytest.raises(grpc.aio.AioRpcError) as caught:  # a host reaches no other host
            await replica_pb2_grpc.ReplicaServiceStub(channel).TellHost(replica_pb2.TellHostRequest(), timeout=30)
        assert grpc.StatusCode.UNIMPLEMENTED == caught.value.code()
        attached = host_pb2_grpc.HostServiceStub(channel).Attach(timeout=30)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await attached.read()
        assert grpc.StatusCode.PERMISSION_DENIED == caught.value.code()


def test_a_service_that_restarts_leaves_its_place_to_nobody(mesh: Mesh) -> None:
    """From the moment it is killed until it listens again no other user can bind there, and then it is as before."""
    folder = _sockets(mesh)
    place = folder / "payments.sock"
    victim = meshes.child(mesh, "services.payments")
    victim.kill()
    wait_procs([victim], timeout=30)

    deadline = time.monotonic() + 60
    with socket.socket(socket.AF_UNIX) as client:
        while True:
            if IS_ROOT:
                with somebody_else(), socket.socket(socket.AF_UNIX) as thief, pytest.raises(PermissionError):
                    thief.bind(str(place))
            if client.connect_ex(str(place)) == 0:
                break
            assert time.monotonic() < deadline, "it did not come back"
    assert os.geteuid() == place.stat().st_uid
