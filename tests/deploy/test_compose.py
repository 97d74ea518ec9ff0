"""`deploy/compose` and the Containerfile, against the specification of Compose and against the mesh."""

import json
import pathlib
import re
import tomllib
import urllib.parse
from typing import Any

import compose_spec
import pytest
import redis.asyncio
import redis.exceptions
import typer
import yaml

from agentmesh.cli.app import build
from tests.meshkit.redis_server import running_redis
from tests.readme.snippets import ROOT

FOLDER = ROOT / "deploy/compose"
COMPOSE: dict[str, Any] = yaml.safe_load((FOLDER / "compose.yaml").read_text("utf-8"))

POSTGRESQL_OF_DEBIAN = {"bookworm": 15, "trixie": 17}


def filled(text: str) -> str:
    """Return a text as Compose reads it, where whatever must be said is `given`."""
    said = re.sub(r"\$\{[A-Z_]+:-([^}]*)\}", r"\1", text)
    return re.sub(r"\$\{[A-Z_]+:\?[^}]*\}", "given", said)


def test_it_is_as_compose_has_it() -> None:
    """Read by an implementation of the specification; and every file that is mounted is there."""
    text = (FOLDER / "compose.yaml").read_text("utf-8")

    compose_spec.PyCompose.from_yaml(filled(text))

    for service in COMPOSE["services"].values():
        for volume in service.get("volumes", ()):
            source = volume.partition(":")[0]
            assert source in COMPOSE["volumes"] or source.startswith("$") or (FOLDER / source).exists(), source
        assert set(service["networks"]) <= COMPOSE["networks"].keys()
        assert set(service.get("depends_on", ())) <= COMPOSE["services"].keys()


def test_every_image_is_pinned_and_nothing_is_open_by_default() -> None:
    """A tag that says which; ports on loopback; passwords that somebody must choose, for each thing another."""
    for service in COMPOSE["services"].values():
        assert re.fullmatch(r"[a-z0-9./-]+:v?[0-9]+\.[0-9]+[a-z0-9.-]*", service["image"]), service["image"]
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))
        for name, value in service.get("environment", {}).items():
            assert not re.search("PASSWORD|AUTH|_URL", name) or ":?" in value
    given = {
        name: sorted(set(re.findall(r"\$\{([A-Z_]+):\?", json.dumps(service))))
        for name, service in COMPOSE["services"].items()
    }
    assert {name: secrets for name, secrets in given.items() if secrets} == {
        "postgres": ["POSTGRES_PASSWORD"],
        "redis": ["REDIS_PASSWORD"],
        "mesh": ["AGENTMESH_ADMIN_PASSWORD", "POSTGRES_PASSWORD", "REDIS_PASSWORD"],
        "grafana": ["GRAFANA_PASSWORD"],
    }


async def test_redis_asks_for_its_password(tmp_path: pathlib.Path) -> None:
    """By the configuration that stands here: the mesh's URL opens it, and one without does not."""
    (tmp_path / "redis.conf").write_text(filled(COMPOSE["configs"]["redis"]["content"]), encoding="utf-8")
    url = filled(COMPOSE["services"]["mesh"]["environment"]["AGENTMESH_REDIS_URL"])
    with running_redis("--include", str(tmp_path / "redis.conf")) as server:
        async with (
            redis.asyncio.Redis.from_url(server.url, password=urllib.parse.urlsplit(url).password) as known,
            redis.asyncio.Redis.from_url(server.url, protocol=2) as stranger,
        ):
            assert await known.ping()
            with pytest.raises(redis.exceptions.AuthenticationError):
                await stranger.ping()


def test_the_mesh_is_started_by_a_command_that_there_is() -> None:
    """The options are those of `agentmesh up`."""
    command = typer.main.get_command(build())
    arguments = [str(each) for each in COMPOSE["services"]["mesh"]["command"]]

    name, *rest = arguments
    parsed = command.commands[name].make_context(name, rest).params  # type: ignore[attr-defined]

    assert ("up", "0.0.0.0", 2) == (name, parsed["host"], parsed["replicas"])


def test_the_image_is_made_of_two_stages_and_runs_as_nobody_special() -> None:
    """Pinned, by hashes, with the package's own folders; the last user is not root."""
    text = (ROOT / "deploy/Containerfile").read_text("utf-8")
    stages = re.findall(r"^FROM (\S+)", text, re.M)

    assert 2 == len(stages)
    assert all(re.search(r":[0-9.]+", stage) for stage in stages)
    assert ["10001:10001"] == re.findall(r"^USER (\S+)", text, re.M)
    assert "--require-hashes" in text
    for source in re.findall(r"^COPY (?!--from)(.+) \S+$", text, re.M):
        assert all((ROOT / each).exists() for each in source.split())


def test_the_image_is_built_of_all_that_the_package_names() -> None:
    """What builds it takes what lies there: a licence that is not, or a folder, is left out and nobody is told."""
    text = (ROOT / "deploy/Containerfile").read_text("utf-8")
    package = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    copied = {source for sources in re.findall(r"^COPY (?!--from)(.+) \S+$", text, re.M) for source in sources.split()}

    wheel = package["tool"]["hatch"]["build"]["targets"]["wheel"]["only-include"]
    named = {"pyproject.toml", package["project"]["readme"], *package["project"]["license-files"]}
    assert named | {folder.partition("/")[0] for folder in wheel} <= copied


def test_the_image_can_back_up_the_database_that_stands_beside_it() -> None:
    """`pg_dump` refuses a server that is newer than itself, and each Debian has one version."""
    text = (ROOT / "deploy/Containerfile").read_text("utf-8")
    debian = {re.search(r"-(\w+)$", stage)[1] for stage in re.findall(r"^FROM (\S+)", text, re.M)}  # type: ignore[index]
    (client,) = re.findall(r"postgresql-client-(\d+)", text)
    (server,) = re.findall(r"^postgres:(\d+)", COMPOSE["services"]["postgres"]["image"])

    assert {int(client)} == {POSTGRESQL_OF_DEBIAN[name] for name in debian}
    assert int(client) >= int(server)


def test_the_dashboard_asks_for_what_the_collector_gives() -> None:
    """Every panel has its source, a place of its own and a query of a metric that services tell."""
    dashboard = json.loads((FOLDER / "grafana/agentmesh.json").read_text("utf-8"))
    sources = yaml.safe_load((FOLDER / "grafana/datasources.yaml").read_text("utf-8"))["datasources"]
    collector = yaml.safe_load((FOLDER / "otel-collector.yaml").read_text("utf-8"))
    scraped = yaml.safe_load((FOLDER / "prometheus.yaml").read_text("utf-8"))["scrape_configs"][0]["static_configs"]

    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in dashboard["panels"]]
    assert len(set(places)) == len(places) > 0
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(places)
    for panel in dashboard["panels"]:
        assert panel["datasource"]["uid"] in {source["uid"] for source in sources}
        for target in panel["targets"]:
            assert "rpc_server_call_duration_seconds_" in target["expr"]
            assert target["expr"].count("(") == target["expr"].count(")")
    for pipeline in collector["service"]["pipelines"].values():
        for kind in ("receivers", "processors", "exporters"):
            assert set(pipeline[kind]) <= collector[kind].keys()
    port = collector["exporters"]["prometheus"]["endpoint"].rpartition(":")[2]
    assert [{"targets": [f"collector:{port}"]}] == scraped
