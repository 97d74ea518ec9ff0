"""Apps are found by their import path, whatever shape they have; in a process of their own."""

import json
import os
import pathlib
import subprocess
import sys
import sysconfig
from typing import Any

ROOT = pathlib.Path(__file__).parents[3]
SCRIPT = """
import json, sys
from agentmesh.errors import describe
from agentmesh._app.loading import load
found = []
for import_path in json.loads(sys.argv[1]):
    try:
        app = load(import_path)
        found.append([type(app.asgi).__name__, [flow.path for flow in app.flows]])
    except Exception as error:
        found.append(describe(error))
print(json.dumps(found))
"""

APP = """
from agentmesh import Launch, ServeAPI, forms
app = ServeAPI()

@app.enter("/", model=forms.Model())
def enter(request):
    return Launch(request, "x:y")
"""

INGRESS = (
    APP
    + """
from ray import serve

@serve.deployment(num_replicas=2)
@serve.ingress(app)
class Hello:
    def __init__(self, greeting="hi"):
        self.greeting = greeting

bound = Hello.options(name="other").bind(greeting="ho")
unbound = Hello
no_ingress = serve.deployment(type("Bare", (), {})).bind()
composed = Hello.bind(bound)
"""
)

METHOD = (
    APP
    + """
from ray import serve

@serve.deployment
@serve.ingress(app)
class X:
    @app.get("/y")
    def y(self=None): ...

x = X.bind()
"""
)


def load(folder: pathlib.Path, cases: list[tuple[str, str, str]], site: pathlib.Path | None = None) -> list[Any]:
    """Load each case's attribute of its source in one fresh interpreter that is started in `folder`.

    With `site` that has the packages there, and none of those that are installed here.
    """
    paths = []
    for number, (source, import_path, _) in enumerate(cases):
        (folder / f"mod{number}.py").write_text(source)
        paths.append(import_path.replace("mod", f"mod{number}", 1))
    flags = ["-P", "-W", "error"] if site is None else ["-P", "-S", "-W", "error"]
    env = (
        dict(os.environ)
        if site is None
        else {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (site, ROOT, ROOT / "gen")))}
    )
    command = [sys.executable, *flags, "-c", SCRIPT, json.dumps(paths)]
    done = subprocess.run(command, cwd=folder, env=env, check=True, capture_output=True, text=True, timeout=60)
    found: list[Any] = json.loads(done.stdout)
    return found


APPS = [
    (APP, "mod:app", "ServeAPI"),
    (INGRESS, "mod:bound", "ServeAPI"),
    ("import fastapi\napp = fastapi.FastAPI()", "mod:app", "FastAPI"),
    ("async def app(scope, receive, send): ...", "mod:app", "function"),
    (APP + "\ndef factory():\n    return app", "mod:factory", "ServeAPI"),
    (APP + "\ndef builder(args):\n    return app", "mod:builder", "ServeAPI"),
    (APP + "\nclass holder:\n    inner = app", "mod:holder.inner", "ServeAPI"),
    (METHOD, "mod:x", "ServeAPI"),
]


def test_apps_are_found(tmp_path: pathlib.Path) -> None:
    """Whatever makes them, in the folder the mesh was started in."""
    expected = [[kind, ["/"] if kind == "ServeAPI" else []] for _, _, kind in APPS]

    assert expected == load(tmp_path, APPS)


WITHOUT_SERVE = [
    ("import ray\nray.nothing", "mod:app", "has no attribute 'nothing'"),
    ("from ray import serve\nserve.run(3)", "mod:app", "agentmesh runs apps by itself"),
]
WITHOUT_RAY = [
    ("import ray\n\n@ray.remote\ndef f(): ...", "mod:app", "ray.remote: Ray is not installed"),
    *WITHOUT_SERVE,
]
NO_APPS = [
    (APP, "mod", "is not of the form 'package.module:attribute'"),
    (APP, "mod:app()", "is not of the form 'package.module:attribute'"),
    (APP, "mod:ap", "has no 'ap'; perhaps mod2:app"),
    (APP, "nowhere:app", "No module named 'nowhere'"),
    ("x = 3", "mod:x", "is a int, not an app"),
    (INGRESS, "mod:unbound", "deployment Hello is not bound: name what its .bind() returns"),
    (INGRESS, "mod:Hello.name", "is a str, not an app: name a ServeAPI, or an ingress"),
    (INGRESS, "mod:no_ingress", "deployment Bare has no app: decorate it with @serve.ingress(app)"),
    (INGRESS, "mod:composed", "agentmesh hosts one app per expose"),
    ("def f(a, b): ...", "mod:f", "needs a, b: name the app it makes"),
    ("def f(): return 3", "mod:f", "is a int, not an app"),
    ("raise RuntimeError('no key')", "mod:app", "RuntimeError: no key"),
    *WITHOUT_SERVE,
]


def test_what_is_no_app_is_told_with_a_remedy(tmp_path: pathlib.Path) -> None:
    """An operator reads these messages in the boot's log."""
    for (_, import_path, message), error in zip(NO_APPS, load(tmp_path, NO_APPS), strict=True):
        assert message in error, import_path


def test_what_needs_ray_is_told_with_a_remedy_where_it_is_not_installed(tmp_path: pathlib.Path) -> None:
    """What a cluster does is not pretended; declaring an app works all the same."""
    folder, site = tmp_path / "apps", tmp_path / "site"
    folder.mkdir()
    site.mkdir()
    places = [pathlib.Path(sysconfig.get_path(kind)) for kind in ("purelib", "platlib")]
    installed = {path.name: path for place in places for path in place.iterdir()}
    for name, path in installed.items():
        if name != "ray" and not name.startswith("ray-"):
            (site / name).symlink_to(path)
    found = load(folder, [*WITHOUT_RAY, (INGRESS, "mod:bound", "")], site)

    for (_, _, message), error in zip(WITHOUT_RAY, found[:-1], strict=True):
        assert message in error
    assert ["ServeAPI", ["/"]] == found[-1]
