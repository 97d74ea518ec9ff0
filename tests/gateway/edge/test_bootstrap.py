"""Envoy's bootstrap, rendered from the contract."""

import dataclasses
import json
import pathlib
import subprocess
from typing import Any

import pytest
from agentmesh_protos.gateway.v1 import options_pb2
from google.api import annotations_pb2
from google.protobuf import descriptor_pb2

from gateway.config import EdgeConfig
from gateway.dialects import DIALECTS
from gateway.edge import bootstrap, contract, envoy
from meshkit.verifier import Credentials

JWKS = '{"keys": []}'
CONFIG = EdgeConfig(port=13370)


def rendered(descriptors: bytes = b"", **changes: Any) -> dict[str, Any]:
    """Render with our own contract unless another is given."""
    config = CONFIG.model_copy(update=changes)
    return bootstrap.render(config, JWKS, descriptors or contract.descriptors(), DIALECTS)


def manager(config: dict[str, Any]) -> dict[str, Any]:
    """Return the HTTP connection manager."""
    found: dict[str, Any] = config["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    return found


def filters(config: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the HTTP filters by name."""
    return {entry["name"]: entry["typed_config"] for entry in manager(config)["http_filters"]}


def routes(config: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the routes in order."""
    found: list[dict[str, Any]] = manager(config)["route_config"]["virtual_hosts"][0]["routes"]
    return found


def dialect_file(name: str, naming: options_pb2.JsonNaming.ValueType) -> descriptor_pb2.FileDescriptorProto:
    """Return a dialect with one method."""
    package = f"mesh.dialects.{name}.v1"
    file = descriptor_pb2.FileDescriptorProto(name=f"{name}.proto", package=package, syntax="proto3")
    file.options.Extensions[options_pb2.json_naming] = naming
    file.message_type.add(name="Empty")
    method = file.service.add(name="Things").method.add(
        name="Get", input_type=f".{package}.Empty", output_type=f".{package}.Empty"
    )
    method.options.Extensions[annotations_pb2.http].get = f"/{name}/things"
    return file


@pytest.mark.parametrize("changes", [{}, {"rate_limit_rps": 0, "access_log": True, "admin_port": 13371}])
def test_envoy_accepts_it(tmp_path: pathlib.Path, changes: dict[str, Any]) -> None:
    """The real binary validates what we render, with every option."""
    path = tmp_path / "bootstrap.json"
    # An empty key set is refused, so it takes a key: the public one of RFC 7517, appendix A.1.
    key = {
        "kty": "EC",
        "crv": "P-256",
        "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
        "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM",
        "kid": "1",
    }
    config = CONFIG.model_copy(update=changes)
    text = json.dumps(bootstrap.render(config, json.dumps({"keys": [key]}), contract.descriptors(), DIALECTS))
    envoy.write_private(path, text)
    command = [*envoy.command(config, path), "--mode", "validate"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    assert done.returncode == 0, done.stderr
    assert path.stat().st_mode & 0o777 == 0o600


def test_the_same_arguments_give_the_same_bootstrap() -> None:
    """It depends on nothing else, and is JSON."""
    assert json.dumps(rendered()) == json.dumps(rendered())


def test_every_stream_has_a_route_without_a_timeout() -> None:
    """Or a long one would be cut."""
    streams = {
        method.name
        for service in contract.services(contract.descriptors())
        for method in service.methods
        if service.is_dialect and method.streams
    }
    open_ended = {route["match"].get("path") for route in routes(rendered()) if route["route"]["timeout"] == "0s"}

    assert streams
    assert streams <= open_ended


def test_no_answer_of_the_web_app_is_cut_for_how_long_it_takes() -> None:
    """Downloads, pages that change, what apps serve: as long as something comes, and no longer."""
    shared = rendered(origins={"codex": ["https://app.example.com"]})
    web = [route["route"] for route in routes(shared) if route["route"]["cluster"] == "web"]
    live = next(route["route"] for route in routes(shared) if route["match"].get("prefix") == "/panel/live/")

    assert {"0s"} == {route["timeout"] for route in web}
    assert {"60s", "120s", "660s", "3600s"} == {route["idle_timeout"] for route in web}  # a call may wait long
    assert ("60s", "120s") == (web[-1]["idle_timeout"], live["idle_timeout"])


def test_a_stream_that_nobody_reads_is_ended_unless_it_may_be_quiet() -> None:
    """All others give signs of life: silence means that they do not get through."""
    services = contract.services(contract.descriptors())
    quiet = {method.name: method.quiet for service in services for method in service.methods if method.streams}
    idle = {
        route["match"]["path"]: route["route"]["idle_timeout"]
        for route in routes(rendered())
        if "path" in route["match"]
    }

    assert {
        "mesh.registry.v1.BootService",
        "mesh.dialects.kodosumi.v1.BootService",
        "mesh.runner.v1.ReplicaService",
    } == {name[1:].partition("/")[0] for name, is_quiet in quiet.items() if is_quiet}
    assert {name: "3600s" if is_quiet else "120s" for name, is_quiet in quiet.items()} == idle


def test_a_websocket_has_a_route_of_its_own() -> None:
    """To the web app, without a timeout, and past the transcoders: its path may be an RPC's without an upgrade.

    So has one that nobody serves: a transcoder would make of it what no service reads.
    """
    paths = [path for dialect in DIALECTS for path in dialect.socket_paths]
    sockets = {
        route["match"].get("safe_regex", {}).get("regex") or route["match"]["prefix"]: route
        for route in routes(rendered())
        if [header["name"] for header in route["match"].get("headers", ())] == ["upgrade"]
    }

    assert [*map(contract.pattern, paths), "/"] == list(sockets)
    for route in sockets.values():
        assert ("web", "0s") == (route["route"]["cluster"], route["route"]["timeout"])
        assert {"transcoder_snake", "transcoder_camel", "connect_grpc_bridge"} == set(route["typed_per_filter_config"])
        assert [{"name": "upgrade", "string_match": {"exact": "websocket", "ignore_case": True}}] == route["match"][
            "headers"
        ]


def test_a_token_is_looked_for_wherever_a_dialect_has_it() -> None:
    """A dialect that is added brings its places along."""
    more = dataclasses.replace(DIALECTS[0], credentials=Credentials(headers=("x-api-key",), cookies=("session",)))
    config = bootstrap.render(CONFIG, JWKS, contract.descriptors(), [*DIALECTS, more])
    provider = filters(config)["jwt_authn"]["providers"]["mesh"]

    bearer = {"name": "authorization", "value_prefix": "Bearer "}
    headers = [{"name": "kodosumi_api_key"}, {"name": "x-runtime-token"}, {"name": "x-api-key"}, bearer]
    assert headers == provider["from_headers"]
    assert ["kodosumi_jwt", "koda_operator_session", "session"] == provider["from_cookies"]


def test_only_the_gateway_says_what_the_http_answer_is() -> None:
    """Answers of other clusters lose the control headers before the edge reads them."""
    for route in routes(rendered()):
        removed = route.get("response_headers_to_remove", [])

        assert (removed == ["x-http-code", "x-http-body", "x-http-type"]) == (route["route"]["cluster"] != "gateway")


def test_the_typed_api_goes_to_its_service() -> None:
    """By the gRPC prefix; what is left is the web app's."""
    clusters = {route["match"].get("prefix"): route["route"]["cluster"] for route in routes(rendered())}

    for name in ("auth", "registry", "runner", "payments"):
        assert clusters[f"/mesh.{name}."] == name
    assert routes(rendered())[-1]["route"]["cluster"] == "web"


def test_the_typed_api_is_transcoded_in_camel_case() -> None:
    """Only what has paths; streams over REST are marked for the script, those of gRPC clients are not."""
    services = filters(rendered())["transcoder_camel"]["services"]
    marked = [route for route in routes(rendered()) if "response_headers_to_add" in route]
    (watch,) = [route for route in marked if route["match"]["path"] == "/mesh.runner.v1.JobService/WatchJob"]

    assert "mesh.runner.v1.JobService" in services
    assert "mesh.runner.v1.HostService" not in services
    assert {"name": "x-envoy-original-method", "present_match": True} in watch["match"]["headers"]
    assert ("runner", "0s") == (watch["route"]["cluster"], watch["route"]["timeout"])


def test_each_naming_has_a_transcoder_if_somebody_uses_it() -> None:
    """An unset naming is snake case."""
    unset, camel, snake = (
        options_pb2.JSON_NAMING_UNSPECIFIED,
        options_pb2.JSON_NAMING_CAMEL,
        options_pb2.JSON_NAMING_SNAKE,
    )
    none = descriptor_pb2.FileDescriptorSet(file=[dialect_file("a", unset), dialect_file("b", snake)])
    both = descriptor_pb2.FileDescriptorSet(file=[dialect_file("a", unset), dialect_file("c", camel)])
    without = filters(rendered(none.SerializeToString()))
    with_both = filters(rendered(both.SerializeToString()))

    assert without["transcoder_snake"]["services"] == ["mesh.dialects.a.v1.Things", "mesh.dialects.b.v1.Things"]
    assert "transcoder_camel" not in without
    assert with_both["transcoder_camel"]["services"] == ["mesh.dialects.c.v1.Things"]
    assert with_both["transcoder_camel"]["print_options"]["preserve_proto_field_names"] is False


def test_what_is_switched_off_is_not_there() -> None:
    """No limit, no log, no admin interface."""
    config = rendered(rate_limit_rps=0)

    assert "local_ratelimit" not in filters(config)
    assert "local_ratelimit" in filters(rendered())
    assert "admin" not in config
    assert "access_log" not in manager(config)


def test_the_admin_interface_is_for_this_machine() -> None:
    """Wherever the edge itself listens."""
    with pytest.raises(ValueError, match="must be unix:PATH"):
        EdgeConfig(admin_address="127.0.0.1:13371")
    config = rendered(admin_port=13371, host="0.0.0.0")

    assert config["admin"]["address"]["socket_address"] == {"address": "127.0.0.1", "port_value": 13371}


def _endpoint(cluster: dict[str, Any]) -> Any:
    return cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]


def test_services_are_at_sockets_or_ports_and_hosts_may_be_names() -> None:
    """As in a cluster; then Envoy asks DNS."""
    config = rendered(
        auth_address="auth.mesh:3371",
        web_address="[::1]:3376",
        runner_address="unix:/run/runner.sock",
        insecure_tcp="allow",
    )
    clusters = {cluster["name"]: cluster for cluster in config["static_resources"]["clusters"]}
    endpoint = _endpoint(clusters["web"])

    assert clusters["auth"]["type"] == "STRICT_DNS"
    assert clusters["web"]["type"] == "STATIC"
    assert clusters["runner"]["type"] == "STATIC"
    assert _endpoint(clusters["runner"])["address"] == {"pipe": {"path": "/run/runner.sock"}}
    assert endpoint["address"]["socket_address"] == {"address": "::1", "port_value": 3376}


@pytest.mark.parametrize(("host", "bound"), [("localhost", "127.0.0.1"), ("[::1]", "::1"), ("0.0.0.0", "0.0.0.0")])
def test_the_edge_listens_on_an_address(host: str, bound: str) -> None:
    """Envoy resolves no name to listen on; one that we cannot is refused with what to give."""
    assert EdgeConfig(host=host).host == bound
    with pytest.raises(ValueError, match="must be an IP address"):
        EdgeConfig(host="mesh.example.com")
