"""`deploy/kubernetes`: what kustomize makes of it, against Kubernetes' own schemas and against the mesh."""

import ipaddress

import kubernetes_validate
import pytest

from agentmesh.supervisor.services import CLUSTER, SERVICES
from tests.deploy.kustomized import (
    FOLDERS,
    allowed,
    containers,
    of_kind,
    pods,
    rendered,
    rules,
    templates,
    with_autoscaler,
)
from tests.readme.snippets import ROOT

VERSION = "1.31"
"""Of Kubernetes: the oldest that is still looked after when this is written."""


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


@pytest.mark.parametrize(("folder", "told"), [("overlays/production", set()), ("overlays/ray", {"runner", "registry"})])
def test_where_hosts_are_placed_is_known(folder: str, told: set[str]) -> None:
    """To who places them, and to who says what of a bootstrap has an effect there."""
    found = {
        thing["metadata"]["name"]
        for thing in of_kind(folder, "Deployment")
        for container in thing["spec"]["template"]["spec"]["containers"]
        if {"name": "AGENTMESH_PLACEMENT", "value": "ray"} in container["env"]
    }

    assert told == found


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
    """What is in the settings is where the services are; a pod's certificate is its own."""
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
        for container in (*spec["initContainers"], *spec["containers"]):
            assert {mount["name"] for mount in container["volumeMounts"]} <= volumes.keys()


@pytest.mark.parametrize("folder", FOLDERS)
def test_whom_a_pod_may_call_lets_it(folder: str) -> None:
    """Nobody has more than is listed, in either direction; and who is let in by one side is let out by the other."""
    assert {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]} in [
        thing["spec"] for thing in of_kind(folder, "NetworkPolicy")
    ]
    known, ports = pods(folder), (3371, 3372, 3373, 3374, 3375, 3376, 3377, 3378, 10001)
    called = {
        (one, other, port)
        for one, labels in known.items()
        for other, theirs in known.items()
        for port in ports
        if one != other and allowed(folder, "ingress", theirs, labels, port)
    }

    assert {("edge", "gateway", 3377), ("gateway", "runner", 3373), ("runner", "auth", 3371)} <= called
    if "worker" in known:
        assert {("worker", "runner", 3378), ("runner", "head", 10001)} <= called
    assert [] == [
        (one, other, port)
        for one, other, port in called
        if other != "edge" and not allowed(folder, "egress", known[one], known[other], port)
    ]


@pytest.mark.parametrize("folder", FOLDERS)
def test_only_those_who_must_call_out(folder: str) -> None:
    """State for whom there is a secret of it, names for all; the Internet for apps, webhooks and a provider."""
    known = pods(folder)
    for deployment in of_kind(folder, "Deployment"):
        name = deployment["metadata"]["name"]
        service = next(
            each for each in deployment["spec"]["template"]["spec"]["containers"] if each["name"] == "service"
        )
        given = {each["name"] for each in service["env"]}
        for secret, port in (("AGENTMESH_DATABASE_URL", 5432), ("AGENTMESH_REDIS_URL", 6379)):
            assert (secret in given) == allowed(folder, "egress", known[name], None, port)
    out = {
        name: [
            each["ipBlock"]
            for rule in rules(folder, "egress", labels)
            for each in rule.get("to", ())
            if "ipBlock" in each
        ]
        for name, labels in known.items()
    }
    assert {"runner", "payments", *(known.keys() & {"head", "worker"})} == {
        name for name, blocks in out.items() if blocks
    }
    for block in (block for blocks in out.values() for block in blocks):
        private = [ipaddress.ip_network(each) for each in block["except"]]
        for address in ("10.1.2.3", "172.20.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "fd00::1", "fe80::1"):
            if ipaddress.ip_address(address) in ipaddress.ip_network(block["cidr"]):
                assert any(ipaddress.ip_address(address) in each for each in private)
    for labels in known.values():
        named = [
            rule for rule in rules(folder, "egress", labels) if {"protocol": "UDP", "port": 53} in rule.get("ports", ())
        ]
        assert named


def test_ray_is_scaled_by_who_may_and_probed_by_what_is_there() -> None:
    """The autoscaler has the token of Ray, and alone that of Kubernetes; a probe asks for a port that Ray opens."""
    (cluster,) = of_kind("overlays/ray", "RayCluster")
    spec = cluster["spec"]
    head, autoscaler = with_autoscaler(spec)["spec"]["containers"]
    worker = spec["workerGroupSpecs"][0]["template"]["spec"]["containers"][0]

    assert f"\nray=={spec['rayVersion']} " in (ROOT / "constraints.txt").read_text("utf-8")
    for container in (head, worker, autoscaler):
        assert {"RAY_AUTH_MODE", "RAY_AUTH_TOKEN"} <= {each["name"] for each in container["env"]}
    assert ["/var/run/secrets/kubernetes.io/serviceaccount"] == [
        each["mountPath"] for each in autoscaler["volumeMounts"]
    ]
    assert not head.get("volumeMounts")
    for container in (head, worker):
        opened = {each["name"]: each["containerPort"] for each in container["ports"]}
        for probe in ("readinessProbe", "livenessProbe"):
            assert container[probe]["tcpSocket"]["port"] in opened
    assert (
        str(worker["ports"][0]["containerPort"]) == spec["workerGroupSpecs"][0]["rayStartParams"]["node-manager-port"]
    )
    runner = next(each for each in of_kind("overlays/ray", "Deployment") if each["metadata"]["name"] == "runner")
    (address,) = (
        each["value"]
        for container in runner["spec"]["template"]["spec"]["containers"]
        for each in container.get("env", ())
        if each["name"] == "AGENTMESH_RAY_ADDRESS"
    )
    client = next(each["containerPort"] for each in head["ports"] if each["name"] == "client")
    assert f"ray://{cluster['metadata']['name']}-head-svc:{client}" == address


@pytest.mark.parametrize("folder", FOLDERS[1:])
def test_what_is_scaled_has_no_number_of_its_own(folder: str) -> None:
    """Or each `apply` would undo what the autoscaler has decided."""
    scaled = {thing["spec"]["scaleTargetRef"]["name"] for thing in of_kind(folder, "HorizontalPodAutoscaler")}

    assert {"gateway", "edge"} == scaled
    for deployment in of_kind(folder, "Deployment"):
        assert ("replicas" in deployment["spec"]) == (deployment["metadata"]["name"] not in scaled)
