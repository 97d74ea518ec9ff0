"""`agentmesh up --replicas N`: N processes of each service, which share a PostgreSQL, and where each of them listens.

Each has an address of its own, and is told those of all (`meshkit.service.Settings.at`): callers take turns.
"""

import pathlib
from collections.abc import Mapping

from agentmesh.supervisor import handing
from agentmesh.supervisor.services import Service

MAX = 64


def problem(count: int, secrets: Mapping[str, str]) -> str:
    """Return why there cannot be so many of each service; empty if there can."""
    if not 1 <= count <= MAX:
        return f"--replicas {count}: must be from 1 to {MAX}"
    scheme = secrets.get(handing.DATABASE_URL, "").partition(":")[0]
    if count > 1 and scheme not in ("postgresql", "postgres"):
        return (
            f"--replicas {count}: several processes of a service need a database that all of them write, and SQLite has"
            f" one writer: set {handing.DATABASE_URL} to postgresql://USER:PASSWORD@HOST:PORT/DATABASE, or leave"
            " --replicas out"
        )
    return ""


def names(services: Mapping[str, Service], count: int) -> list[tuple[str, Service, int]]:
    """Return a child's name, its service and its number for each process there is to be."""
    if count == 1:
        return [(name, service, 1) for name, service in services.items()]
    return [
        (f"{name}-{number}" if service.replicated else name, service, number)
        for name, service in services.items()
        for number in range(1, count + 1)
        if service.replicated or number == 1
    ]


def shared(services: Mapping[str, Service], count: int, inside: pathlib.Path, door: pathlib.Path) -> dict[str, str]:
    """Return the settings by which every process knows where all of the others are."""
    if count == 1:
        return {"AGENTMESH_HOSTS_ADDRESS": f"unix:{door}/runner.sock"}
    sockets = {name: inside / name for name, service in services.items() if service.replicated}
    sockets |= {"web": inside / "web", "hosts": door / "runner"}
    every = {
        f"AGENTMESH_{name.upper()}_ADDRESS": ",".join(f"unix:{path}-{number}.sock" for number in range(1, count + 1))
        for name, path in sockets.items()
    }
    return {"AGENTMESH_REPLICAS": str(count), **every}


def own(number: int, count: int) -> dict[str, str]:
    """Return the setting by which a process knows which of the replicas it is."""
    return {"AGENTMESH_REPLICA": str(number)} if count > 1 else {}
