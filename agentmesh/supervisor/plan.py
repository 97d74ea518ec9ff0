"""What `agentmesh up` starts: its options, the table of children, and the environment they share."""

import contextlib
import dataclasses
import fcntl
import json
import os
import pathlib
import socket
import sys
import tempfile
import types
from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

from agentmesh import _rooms
from agentmesh.host.own import environment, folders
from agentmesh.supervisor import clusters, handing, ports, replicas, sockets
from agentmesh.supervisor.handing import ADMIN_PASSWORD
from agentmesh.supervisor.loopback import is_loopback
from agentmesh.supervisor.services import REHEARSAL, SERVICES, Service

ALLOWED_HOSTS = "AGENTMESH_ALLOWED_HOSTS"
PUBLIC_URL = "AGENTMESH_PUBLIC_URL"

# The examples of the kodosumi documentation name these modules in their bootstraps.
IMPORT_ALIASES = {
    "tests.test_unwrap": "examples.jkx.app",
    "tests.form_elements_demo": "examples.form_example.app",
    "kodosumi_examples.prime.app": "examples.prime.app",
    "tests.test_masumi": "examples.sumi_test.app",
}

NATIVE_PORTS = {"codex": 5246, "kasal": 8000, "koda": 8090}
"""Where their documents say that the foreign APIs are, by dialect."""
NATIVE = "AGENTMESH_NATIVE_PORTS"
"""Where they shall be instead, as JSON."""

_JOBS = "agentmesh-jobs-"
_CLEAN_S = 0.5
"""How long what jobs have left may take to be removed when the mesh ends."""


class UsageError(Exception):
    """What was asked for cannot be done; the message is one line that says why and what to do (exit code 2)."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What a person says to `agentmesh up`."""

    host: str = "127.0.0.1"
    """Where the front door listens; an address or a name of this machine."""
    port: int = 3370
    """The front door's port; 0 takes a free one."""
    data_dir: pathlib.Path = pathlib.Path("data")
    """Where everything is kept; made if missing."""
    replicas: int = 1
    """How many processes of each service there are; more than one need PostgreSQL."""
    examples: bool = False
    """Whether the example apps are exposed and booted."""
    log_level: str = "info"
    """debug, info, warning or error."""
    log_format: str = "json"
    """How stderr has it: `text` for people, `json` for programs."""
    ray: bool = False
    """Whether hosts are on a Ray: the cluster that AGENTMESH_RAY_ADDRESS names, or one of this machine."""
    tls_cert: str = ""
    """PEM that the front door shows, if it speaks TLS; an absolute path."""
    tls_key: str = ""
    """PEM of its key; an absolute path."""
    tls_name: str = ""
    """A name in it."""
    native_ports: bool = False
    """Whether the front door also listens where the documents of foreign APIs say that they are."""
    until_eof: bool = False
    """Whether the mesh ends when its standard input does: with the program that has started it, however that ends."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ChildSpec:
    """One child: which service it is, and where one asks whether it is ready."""

    name: str
    service: Service
    address: str
    """What the probe asks: the address of a gRPC server, a URL, or a path."""
    env: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """For it alone."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """The folders of one run."""

    inside: pathlib.Path
    """For the sockets of services, which no job has a reason to open."""
    door: pathlib.Path
    """For the one socket that hosts dial."""
    jobs: pathlib.Path
    """For what jobs write."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Everything that is settled before the first child starts."""

    children: tuple[ChildSpec, ...]
    env: dict[str, str]
    url: str
    """What people type: `http://HOST:PORT`, or `https://HOST:PORT`."""
    probe_url: str
    """The same front door, by an address that can be connected to: 0.0.0.0 cannot."""
    door: tuple[str, ...] = ()
    """Of the program that asks there: what to believe, where it speaks TLS."""
    secrets: Mapping[str, str] = dataclasses.field(default_factory=dict, repr=False)
    """Settings that are in no environment: each program is handed its own."""


@contextlib.contextmanager
def settled(options: Options, secrets: Mapping[str, str] = types.MappingProxyType({})) -> Iterator[Plan]:
    """Check the options, take the data directory and the ports, and yield the plan; give all back at the end.

    `secrets` are the settings that are in no environment.  Raises `UsageError`.
    """
    if problem := replicas.problem(options.replicas, secrets):
        raise UsageError(problem)
    host = _address(options.host)
    _refuse_open_door(options.host, host, secrets.get(ADMIN_PASSWORD, ""), os.environ)
    with contextlib.ExitStack() as stack:
        jobs = stack.enter_context(_owned(options.data_dir))
        try:
            inside, door = stack.enter_context(sockets.folder()), stack.enter_context(sockets.folder())
            port = _front_port(options, host, stack)
            native = native_ports(options, os.environ)
            _check_native(native, options.host, host, port)
        except (ports.PortsExhausted, sockets.NoFolder) as error:
            raise UsageError(str(error)) from error
        plan = make(options, host, port, Places(inside=inside, door=door, jobs=jobs), native)
        plan, secrets = clusters.on_cluster(plan, secrets, jobs, asked=options.ray, stack=stack)
        private = [plan.env["AGENTMESH_DATA_DIR"], str(inside), str(door), *_databases(secrets)]
        plan.env[environment.PRIVATE_DIRS] = os.pathsep.join(private)
        yield dataclasses.replace(plan, secrets=secrets)


def _databases(secrets: Mapping[str, str]) -> list[str]:
    """Return the folder of the mesh's databases, if it has one of its own."""
    scheme, _, folder = secrets.get(handing.DATABASE_URL, "").partition("://")
    return [folder] if scheme == "sqlite" and folder else []


def make(options: Options, host: str, port: int, places: Places, native: Mapping[str, int]) -> Plan:
    """Return the plan for this front door.

    `native` are ports that the front door listens on, too, by dialect.
    """
    scheme = "https" if options.tls_cert else "http"
    probe_url = f"{scheme}://{_bracketed(_reachable(host))}:{port}"
    nursery = str(places.inside / "nursery.sock")
    probes = {"nursery": nursery, "edge": f"{probe_url}/health"}
    children = tuple(
        ChildSpec(
            name=name,
            service=service,
            address=probes.get(name, f"unix:{places.inside}/{name}.sock"),
            env=replicas.own(number, options.replicas) if service.replicated else {},
        )
        for name, service, number in replicas.names(SERVICES, options.replicas)
    )
    env = dict(
        handing.of_services(os.environ),
        AGENTMESH_DATA_DIR=str(options.data_dir.resolve()),
        AGENTMESH_SOCKETS_DIR=str(places.inside),
        AGENTMESH_HOST=host,
        # What people type is a name of the mesh, whichever address it has.
        AGENTMESH_ALLOWED_HOSTS=",".join(filter(None, (os.environ.get(ALLOWED_HOSTS), options.host))),
        AGENTMESH_PORT=str(port),
        AGENTMESH_NURSERY=nursery,
        AGENTMESH_JOBS_DIR=str(places.jobs),
        AGENTMESH_ENVIRONMENTS_DIR=str(options.data_dir.resolve() / "environments"),
        AGENTMESH_LOG_LEVEL=options.log_level,
        AGENTMESH_GRACE_S="1.5",
        # glibc raises this by itself after the first large block, and then keeps in its heap what argon2 needs for a
        # moment: 20 MB of the auth service.  A fixed value stays.
        MALLOC_MMAP_THRESHOLD_=os.environ.get("MALLOC_MMAP_THRESHOLD_", "1048576"),
        PYTHONUNBUFFERED="1",
    )
    for name in (*SERVICES, "web"):  # everything is in that folder, where nothing is TLS
        env.pop(f"AGENTMESH_{name.upper()}_ADDRESS", None)
    env |= replicas.shared(SERVICES, options.replicas, places.inside, places.door)
    for name in ("CA", "CERT", "KEY"):
        env.pop(f"AGENTMESH_TLS_{name}", None)
    if options.tls_cert:
        env |= {"AGENTMESH_EDGE_TLS_CERT": options.tls_cert, "AGENTMESH_EDGE_TLS_KEY": options.tls_key}
    if native:
        env[NATIVE] = json.dumps(native)
    if options.examples:
        env["AGENTMESH_IMPORT_ALIASES"] = ",".join(f"{old}={new}" for old, new in IMPORT_ALIASES.items())
    url = f"{scheme}://{_bracketed(options.host)}:{port}"
    door = ("--cert", options.tls_cert, "--name", options.tls_name) if options.tls_cert else ()
    return Plan(children=children, env=env, url=url, probe_url=probe_url, door=door)


def command(spec: ChildSpec) -> list[str]:
    """Return the command line of a child."""
    return [sys.executable, *_rooms.program(spec.service.module)]


def preloads(plan: Plan) -> list[str]:
    """Return what the forkserver imports, for all that are forked from it."""
    modules = dict.fromkeys(module for spec in plan.children for module in spec.service.preload)
    return [*modules, REHEARSAL]


def child_env(spec: ChildSpec, env: dict[str, str]) -> dict[str, str]:
    """Return the environment of a child.  What an operator lets through to apps, only who loads apps gets."""
    if not spec.service.loads_apps:
        return {**env, **spec.env}
    path = [os.getcwd(), *filter(None, [env.get("PYTHONPATH")])]
    return {**environment.allowed({**os.environ, **env, "PYTHONPATH": os.pathsep.join(path)}), **spec.env}


def _address(host: str) -> str:
    try:
        infos = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise UsageError(f"--host {host}: not an address or name of this machine ({error})") from error
    return str(min(infos, key=lambda info: info[0] != socket.AF_INET)[4][0])


def _refuse_open_door(typed: str, host: str, password: str, env: Mapping[str, str]) -> None:
    # As `meshkit.service.Settings.opening` has it, ahead of any child.
    opening = {f"--host {typed}": host if is_loopback(typed) else typed}
    for setting in (PUBLIC_URL, ALLOWED_HOSTS):
        opening |= {f"{setting} {text.strip()}": _host_in(text) for text in env.get(setting, "").split(",")}
    said = next((said for said, name in opening.items() if name and not is_loopback(name)), "")
    if said and password in ("", "admin"):
        raise UsageError(
            f"{said} can be reached from other machines, and the admin's password would be the default: "
            f"set {ADMIN_PASSWORD} (not to 'admin') first"
        )


def _host_in(text: str) -> str:
    """Return the host in a URL, or in a name or address with or without a port."""
    text = text.strip()
    if text.count(":") > 1 and "[" not in text and "//" not in text:
        return text  # an address of IPv6
    try:
        return (urlsplit(text if "//" in text else f"//{text}").hostname or "").rstrip(".")
    except ValueError:
        return text  # whatever it is, it is not this machine


def _front_port(options: Options, host: str, stack: contextlib.ExitStack) -> int:
    if not 0 <= options.port <= 65_535:
        raise UsageError(f"--port {options.port}: must be from 0 to 65535")
    try:
        if options.port == 0:
            (port,), (hold,) = ports.reserve(1, host)
            stack.callback(hold.close)
            return port
        claim = ports.claim(host, options.port)
        if claim is not None:
            stack.callback(claim.close)
            if ports.is_free(host, options.port):
                return options.port
    except OSError as error:
        raise UsageError(f"cannot listen on {options.host}:{options.port}: {error.strerror}") from error
    raise UsageError(
        f"port {options.port} of {options.host} is in use: choose another with --port, or --port 0 for a free one"
    )


def native_ports(options: Options, environ: Mapping[str, str]) -> Mapping[str, int]:
    """Return the ports that foreign APIs are at, too, by dialect.  Raises `UsageError`."""
    said = environ.get(NATIVE, "")
    if not said:
        return NATIVE_PORTS if options.native_ports else {}
    try:
        native = json.loads(said)
    except ValueError:
        native = None
    if not isinstance(native, dict) or not all(type(port) is int and 0 < port < 65_536 for port in native.values()):
        raise UsageError(f"{NATIVE} is no JSON object of ports by dialect, such as {json.dumps(NATIVE_PORTS)}")
    return native


def _check_native(native: Mapping[str, int], typed: str, host: str, port: int) -> None:
    for dialect, number in native.items():
        if number == port or not ports.is_free(host, number):
            raise UsageError(
                f"port {number} of {typed}, which is {dialect}'s, is in use: free it, leave --native-ports out, or say "
                f"another in {NATIVE}"
            )


@contextlib.contextmanager
def _owned(data_dir: pathlib.Path) -> Iterator[pathlib.Path]:
    """Hold the data directory, so that no second mesh uses it; yield a folder for what jobs write.

    Jobs know its name, so nothing else lies there, nor anywhere that the name would tell.
    """
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        lock = (data_dir / "up.lock").open("a+", encoding="utf-8")
    except OSError as error:
        raise UsageError(
            f"cannot write to the data directory {data_dir} ({error.strerror}): choose another with --data-dir"
        ) from error
    with lock:
        lock.seek(0)
        pid, _, left = lock.read().strip().partition(" ")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise UsageError(
                f"another mesh (process {pid or 'unknown'}) uses the data directory {data_dir}: stop it, or choose "
                "another with --data-dir"
            ) from error
        jobs = pathlib.Path(tempfile.mkdtemp(prefix=_JOBS))
        if pathlib.Path(left).name.startswith(_JOBS):  # of a supervisor that was killed
            with contextlib.suppress(OSError):  # the nursery empties it
                pathlib.Path(left).rename(jobs)
        jobs.chmod(0o711)
        try:
            lock.truncate(0)
            lock.write(f"{os.getpid()} {jobs}\n")
            lock.flush()
            yield jobs
        finally:
            if folders.remove(jobs, _CLEAN_S):  # else the next mesh finds it by our name
                lock.truncate(0)


def _reachable(host: str) -> str:
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
