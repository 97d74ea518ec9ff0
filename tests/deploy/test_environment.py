"""What each pod of `deploy/kubernetes` has in its environment and its folders, as its service reads them."""

import re
from collections.abc import Iterator, Mapping

import pytest

import gateway.config
import services.auth.config
import services.ledger.config
import services.payments.config
import services.registry.config
import services.runner.config
from agentmesh.supervisor.handing import PAYMENTS, PROVIDERS
from agentmesh.supervisor.services import CLUSTER, SERVICES
from meshkit.net import endpoints
from meshkit.service import Settings
from tests.deploy.kustomized import FOLDERS, Thing, allowed, of_kind, pods

POD_IP = "10.1.2.3"
DATA = "/var/lib/agentmesh"
CLOSING_S = 8.0
"""Once calls are over: the nursery has five seconds, what is left to tell of one, and Python ends."""
READERS: dict[str, type[Settings]] = {
    "auth": services.auth.config.Config,
    "registry": services.registry.config.Config,
    "runner": services.runner.config.Config,
    "payments": services.payments.config.Config,
    "ledger": services.ledger.config.Config,
    "gateway": gateway.config.Config,
    "edge": gateway.config.EdgeConfig,
}
GIVEN = {
    "AGENTMESH_DATABASE_URL": "postgresql://mesh:given@postgres/mesh",
    "AGENTMESH_REDIS_URL": "rediss://redis:6379/0",
    "AGENTMESH_ENCRYPTION_KEY": "ab" * 32,
    "AGENTMESH_PAYMENTS": '{"Preprod": {"provider": "ledger"}}',
}
"""What somebody has put into the Secret; of all else there, `given`."""


def deployments(folder: str) -> Iterator[tuple[str, Thing, Thing]]:
    """Yield each service's name, with the spec of its pod and the container that it runs in."""
    for deployment in of_kind(folder, "Deployment"):
        spec = deployment["spec"]["template"]["spec"]
        yield (
            deployment["metadata"]["name"],
            spec,
            next(each for each in spec["containers"] if each["name"] == "service"),
        )


def environment(folder: str, container: Thing) -> dict[str, str]:
    """Return the environment of a container as the kubelet has it: a variable refers to those before it."""
    (settings,) = of_kind(folder, "ConfigMap")
    found = dict(settings["data"])
    own: dict[str, str] = {}
    for each in container["env"]:
        origin = each.get("valueFrom", {})
        value = POD_IP if "fieldRef" in origin else GIVEN.get(each["name"], "given") if origin else each["value"]
        own[each["name"]] = re.sub(r"\$\((\w+)\)", lambda name: own.get(name[1], name[0]), value)
    return found | own


@pytest.fixture(params=FOLDERS)
def read(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Mapping[str, Settings]:
    """The settings of each service, as it reads them in its pod."""
    found = {}
    for name, _, container in deployments(request.param):
        with monkeypatch.context() as scope:
            for variable, value in environment(request.param, container).items():
                scope.setenv(variable, value)
            found[name] = READERS[name]()
    return found


def test_each_service_can_read_its_settings_and_listens_at_its_port(read: Mapping[str, Settings]) -> None:
    """A value that it refuses would end it; its port is the one by which others know it."""
    runner = read["runner"]
    ports = {name: getattr(runner, f"{name}_address").rpartition(":")[2] for name in ("auth", "registry", "payments")}

    assert READERS.keys() == read.keys()
    for name, port in ports.items():
        assert f"0.0.0.0:{port}" == read[name].at(name)
    assert "0.0.0.0:3373" == runner.at("runner")
    assert all(settings.wires.tls is not None for settings in read.values())


def test_where_others_call_a_process_is_an_address_of_its_own(read: Mapping[str, Settings]) -> None:
    """A replica that is told to call 0.0.0.0 calls itself: hosts of another would be out of its reach."""
    runner = read["runner"]
    assert isinstance(runner, services.runner.config.Config)

    assert f"{POD_IP}:3373" == (runner.replica_address or runner.at("runner"))
    if not endpoints.parse(runner.at("hosts")).local:
        assert f"{POD_IP}:3378" == (runner.advertised_address or runner.at("hosts"))


@pytest.mark.parametrize("folder", FOLDERS)
def test_replicas_of_the_runner_reach_each_other(folder: str) -> None:
    """A host hangs on one of them, and whoever is asked calls it through that one."""
    labels = pods(folder)["runner"]

    assert allowed(folder, "ingress", labels, labels, 3373)
    assert allowed(folder, "egress", labels, labels, 3373)


@pytest.mark.parametrize("folder", FOLDERS)
def test_whatever_a_service_takes_from_the_secret_it_is_given(folder: str) -> None:
    """What stands in the Secret and reaches nobody has no effect, and nothing says so; what is not there is empty."""
    for name, spec, container in deployments(folder):
        given = {
            each["name"]: each["valueFrom"]["secretKeyRef"].get("optional", False)
            for each in container["env"]
            if "secretKeyRef" in each.get("valueFrom", {})
        }
        taken = {PAYMENTS if secret == PROVIDERS else secret for secret in SERVICES[name].secrets}
        assert taken == given.keys(), name
        needed = {secret for secret, optional in given.items() if not optional}
        assert needed <= {*GIVEN.keys() - {PAYMENTS}, "AGENTMESH_ADMIN_PASSWORD"}
        for beside in spec["containers"]:
            if beside["name"] == "cluster":
                assert set(CLUSTER.secrets) <= {each["name"] for each in beside["env"]}


def test_the_ledger_is_open_where_a_network_is_on_it(read: Mapping[str, Settings]) -> None:
    """It hears of the same networks as payments, which else asks a ledger that is shut."""
    ledger = read["ledger"]
    assert isinstance(ledger, services.ledger.config.Config)

    assert ledger.serves


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_pod_has_the_time_that_its_end_takes(folder: str) -> None:
    """Until nobody calls it any more, then for the calls in flight, and then for what is closed after them."""
    for name, spec, container in deployments(folder):
        until_unknown = container["lifecycle"]["preStop"]["sleep"]["seconds"]
        grace = float(environment(folder, container)["AGENTMESH_GRACE_S"])

        assert until_unknown >= 5, name
        assert spec["terminationGracePeriodSeconds"] >= until_unknown + grace + CLOSING_S, name
        for beside in (each for each in spec["containers"] if each["name"] == "cluster"):  # whose end ends hosts
            waits = beside["lifecycle"]["preStop"]["sleep"]["seconds"]
            assert until_unknown + grace <= waits < spec["terminationGracePeriodSeconds"] - CLOSING_S


@pytest.mark.parametrize("folder", FOLDERS)
def test_no_probe_ends_a_pod_for_what_another_does(folder: str) -> None:
    """`/health` is 503 while any service is down: an edge that is started then must be, for those that are up."""
    for _, _, container in deployments(folder):
        asked = {container[probe].get("httpGet", {}).get("path") for probe in ("startupProbe", "livenessProbe")}

        assert asked <= {None, "/docs"}


@pytest.mark.parametrize("folder", FOLDERS)
def test_replicas_are_spread_each_service_by_itself(folder: str) -> None:
    """Counted all together, both of one could be on a node where few others are."""
    for deployment in of_kind(folder, "Deployment"):
        template = deployment["spec"]["template"]
        (spread,) = template["spec"]["topologySpreadConstraints"]
        keys = {*spread.get("matchLabelKeys", ()), *spread["labelSelector"]["matchLabels"]}

        assert "app.kubernetes.io/name" in keys
        assert keys <= template["metadata"]["labels"].keys()


@pytest.mark.parametrize("folder", FOLDERS)
def test_what_may_grow_has_a_place_on_a_disk(folder: str) -> None:
    """The data folder is memory, for keys: files of jobs and packages of apps would fill it, and the pod with it."""
    (spec, container) = next((spec, container) for name, spec, container in deployments(folder) if name == "runner")
    volumes = {each["name"]: each for each in spec["volumes"]}
    mounts = {each["mountPath"]: volumes[each["name"]] for each in container["volumeMounts"]}

    assert "Memory" == mounts[DATA]["emptyDir"]["medium"]
    for place in (f"{DATA}/environments", f"{DATA}/files", "/tmp"):
        assert {} == mounts[place]["emptyDir"]
