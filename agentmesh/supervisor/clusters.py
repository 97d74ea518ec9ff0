"""Where hosts are on a Ray cluster: which one that is, and what of the plan is different then."""

import contextlib
import dataclasses
import os
import pathlib
import secrets as random
from collections.abc import Mapping

from agentmesh.cluster import local, settings
from agentmesh.host.own import environment
from agentmesh.supervisor import plan, ports
from agentmesh.supervisor.handing import RAY_TOKEN
from agentmesh.supervisor.services import CLUSTER, RAY, Service

_TOLD = (settings.FLOWS, settings.PLACE_S)
_TOLD_TO_RAY = (local.CPUS, local.MEMORY)


def on_cluster(
    settled: "plan.Plan",
    secrets: Mapping[str, str],
    jobs: pathlib.Path,
    *,
    asked: bool,
    stack: contextlib.ExitStack,
) -> tuple["plan.Plan", Mapping[str, str]]:
    """Return the plan and the secrets of a mesh whose hosts are on a cluster; both as they are if none is asked for.

    A Ray of the mesh's own has its folder in `jobs`.  Raises `UsageError` and `PortsExhausted`.
    """
    address = os.environ.get(settings.ADDRESS, "")
    if not address and not asked:
        return settled, secrets
    told = {settings.ADDRESS: address, **_from_environ(_TOLD)}
    children = {spec.name: spec for spec in settled.children}
    before: tuple[plan.ChildSpec, ...] = ()
    if not address:
        (port, client_port), holds = ports.reserve(2)
        for hold in holds:
            stack.callback(hold.close)
        told |= {settings.ADDRESS: f"127.0.0.1:{port}", settings.OWN: "1"}
        secrets = {**secrets, RAY_TOKEN: random.token_hex(32)}
        of_ray = {local.PORT: str(port), local.CLIENT_PORT: str(client_port), local.FOLDER: str(jobs / "ray")}
        before = (_child("ray", RAY, "", {**of_ray, **_from_environ(_TOLD_TO_RAY)}),)
    told["AGENTMESH_DATA_DIR"] = settled.env["AGENTMESH_DATA_DIR"]
    children["nursery"] = _child("nursery", CLUSTER, settled.env[environment.NURSERY], told)
    return dataclasses.replace(settled, children=(*before, *children.values())), secrets


def _from_environ(names: tuple[str, ...]) -> dict[str, str]:
    return {name: os.environ[name] for name in names if os.environ.get(name)}


def _child(name: str, service: Service, address: str, env: Mapping[str, str]) -> "plan.ChildSpec":
    return plan.ChildSpec(name=name, service=service, address=address, env=env)
