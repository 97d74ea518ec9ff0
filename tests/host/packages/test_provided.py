"""A host has what its app needs: packages of its own, beside those of the mesh, and what lies at addresses."""

import contextlib
import functools
import http.server
import json
import pathlib
import threading
from collections.abc import Iterator
from typing import Any

import pydantic

from tests.host.packages import wheels
from tests.host.stage import Stage, stage

_START = """
import os, pathlib, sys

def able():
    try:
        (pathlib.Path(sys.prefix).parent / "planted").touch()
    except OSError:
        return [os.geteuid(), False]
    return [os.geteuid(), True]

AT_START = able()
"""
_STARTED = """
import agentmesh_demo_start
from agentmesh import ServeAPI

app = ServeAPI()
FOUND = {"start": agentmesh_demo_start.AT_START, "app": agentmesh_demo_start.able()}


async def told() -> dict:
    return FOUND
"""


@contextlib.contextmanager
def served(folder: pathlib.Path) -> Iterator[tuple[str, list[str]]]:
    """Serve a folder; yield its address, and the paths that were asked for."""
    asked: list[str] = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            asked.append(self.path)

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def making(
    kept: pathlib.Path, import_path: str, runtime_env: dict[str, Any]
) -> contextlib.AbstractAsyncContextManager[Stage]:
    """Run a host that keeps in `kept` what its app needs, and may fetch that here."""
    return stage(
        import_path,
        runtime_env=runtime_env,
        AGENTMESH_ENVIRONMENTS_DIR=str(kept),
        AGENTMESH_FETCH_PRIVATE_ADDRESSES="allow",
    )


async def test_an_app_has_what_it_asks_for(tmp_path: pathlib.Path) -> None:
    """Its jobs have it, too; and who starts it again finds it there."""
    site = tmp_path / "site"
    wheel = wheels.wheel(site, "1.0")
    wheels.packed(site / "lib.zip", {"lib-main/agentmesh_fetched_module.py": "VALUE = 7\n", "lib-main/README": ""})
    outcomes = []
    with served(site) as (address, asked):
        needed = {
            "pip": {"packages": [str(wheel)], "pip_install_options": ["--no-cache-dir", "--no-deps"]},
            "working_dir": str(wheels.app(tmp_path / "app")),
            "py_modules": [f"{address}/lib.zip"],
        }
        for _ in range(2):
            async with making(tmp_path / "environments", "demo_app:app", needed) as host:
                assert host.loaded is not None
                assert ("", "") == (host.loaded.error, host.loaded.detail)
                outcome = await host.end(host.run("demo_app:versions"))
                outcomes.append(json.loads(outcome.result_json)["dict"])

    assert ["/lib.zip"] == asked
    assert outcomes[0] == outcomes[1]
    assert tmp_path / "environments" == pathlib.Path(outcomes[0].pop("in")).parent
    assert [2, 0] == outcomes[0].pop("locks")  # a job holds none of them
    assert {"demo": "1.0", "pydantic": pydantic.VERSION, "fetched": 7} == outcomes[0]


async def test_a_package_does_no_more_when_its_interpreter_starts_than_the_app(tmp_path: pathlib.Path) -> None:
    """Lines of a `.pth` file run before anything else does: as the app's user, with the rights of its import."""
    module = "agentmesh_demo_start"
    more = {f"{module}.pth": f"import {module}\n", f"{module}.py": _START}
    wheel = wheels.wheel(tmp_path / "wheels", "1.0", more)
    (tmp_path / "demo_start.py").write_text(_STARTED, encoding="utf-8")
    needed = {"pip": [str(wheel)], "working_dir": str(tmp_path)}
    async with making(tmp_path / "environments", "demo_start:app", needed) as host:
        assert host.loaded is not None
        assert ("", "") == (host.loaded.error, host.loaded.detail)
        outcome = await host.end(host.run("demo_start:told"))
        found = json.loads(outcome.result_json)["dict"]

    assert found["app"] == found["start"]


async def test_an_address_that_is_no_zip_file_fails_the_app(tmp_path: pathlib.Path) -> None:
    """And nothing of it is kept."""
    (tmp_path / "lib.zip").write_text("no zip file", encoding="utf-8")
    kept = tmp_path / "environments"
    with served(tmp_path) as (address, _):
        needed = {"py_modules": [f"{address}/lib.zip"]}
        async with making(kept, "tests.host.flows:app", needed) as host:
            assert host.loaded is not None
            error = host.loaded.error

    assert f"could not fetch {address}/lib.zip: it is no zip file that can be read" in error
    assert [] == [path for path in kept.iterdir() if path.is_dir()]
