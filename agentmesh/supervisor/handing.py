"""Settings of the mesh that nobody may read off a process, and how they get to the one that needs them.

People give them to `agentmesh up` in its environment, which everybody of the same user can read in /proc as long as a
process runs.  So whatever starts a program here starts it in an environment without them, and without all else that
the mesh has no use for (`split`).  A program that needs some is handed a pipe: `AGENTMESH_SECRETS_FD` is the number of
the descriptor from which it reads a JSON object of names and values, once (`handed`; for services `meshkit.service`).
"""

import contextlib
import json
import os
import re
import sys
from collections.abc import Iterator, Mapping
from typing import NoReturn

from agentmesh import _rooms
from agentmesh.host.own import environment

SECRETS_FD = "AGENTMESH_SECRETS_FD"
ADMIN_PASSWORD = "AGENTMESH_ADMIN_PASSWORD"
DATABASE_URL = "AGENTMESH_DATABASE_URL"
ENCRYPTION_KEY = "AGENTMESH_ENCRYPTION_KEY"
PAYMENTS = "AGENTMESH_PAYMENTS"
REDIS_URL = "AGENTMESH_REDIS_URL"
OTLP_HEADERS = "AGENTMESH_OTLP_HEADERS"
RAY_TOKEN = "AGENTMESH_RAY_TOKEN"
FILES_URL = "AGENTMESH_FILES_URL"
"""It may have a password in it."""
FILES_OPTIONS = "AGENTMESH_FILES_OPTIONS"
PROVIDERS = "AGENTMESH_PAYMENTS without tokens"
"""Of it who keeps the escrows, and nothing else."""
OF_KODA = ("RUNTIME_LOCAL_UI_TOKEN", "CONTROL_PLANE_API_TOKEN")
SECRETS = frozenset(
    {ADMIN_PASSWORD, DATABASE_URL, ENCRYPTION_KEY, PAYMENTS, REDIS_URL, OTLP_HEADERS, RAY_TOKEN, *OF_KODA}
    | {FILES_URL, FILES_OPTIONS}
)

BYTES_MAX = 60 * 1024
"""Of secrets for one program: what a pipe holds before anybody reads."""
_OPEN = re.compile(r"(AGENTMESH|CONTROL_PLANE|GRPC)_[A-Z0-9_]+|OTEL_EXPORTER_OTLP_ENDPOINT")
# Those of the command line, and what somebody may have named likewise; a path of a key is none.
_CLOSED = re.compile(r"(?!AGENTMESH_(EDGE_)?TLS_KEY$).*(TOKEN|PASSWORD|SECRET|KEY|KEYS)")


class TooLong(Exception):
    """There is more to be handed than a pipe holds."""


def split(environ: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """Return what of `environ` the programs of the mesh may be started with, and the secrets in it."""
    passes = environment.allowed(environ)
    secrets = {name: environ[name] for name in SECRETS if name in environ}
    for name, value in environ.items():
        if _OPEN.fullmatch(name) and not _CLOSED.fullmatch(name) and name not in SECRETS:
            passes[name] = value
    return passes, secrets


def of_services(environ: Mapping[str, str]) -> dict[str, str]:
    """Return what of `environ` is not for apps alone: those have proxies, and what an operator lets through to them."""
    passes, _ = split({name: value for name, value in environ.items() if name != environment.PASS_ENV})
    return {name: value for name, value in passes.items() if not environment.PROXIES.fullmatch(name)}


def chosen(secrets: Mapping[str, str], names: tuple[str, ...]) -> dict[str, str]:
    """Return the secrets that a program is to be handed."""
    found = {name: secrets[name] for name in names if name in secrets}
    if PROVIDERS in names and PAYMENTS in secrets:
        found[PAYMENTS] = _providers(secrets[PAYMENTS])
    return found


def _providers(payments: str) -> str:
    try:
        networks = json.loads(payments)
        return json.dumps({name: {"provider": network["provider"]} for name, network in networks.items()})
    except (ValueError, KeyError, TypeError, AttributeError):  # the payments service says what is wrong with it
        return "{}"


def pipe(secrets: Mapping[str, str]) -> int:
    """Return a descriptor from which `secrets` can be read once.  Raises `TooLong`."""
    data = json.dumps(dict(secrets)).encode()
    if len(data) > BYTES_MAX:
        raise TooLong(f"{', '.join(sorted(secrets))} take more than {BYTES_MAX} bytes together")
    reader, writer = os.pipe()
    try:
        os.write(writer, data)
    finally:
        os.close(writer)
    return reader


@contextlib.contextmanager
def handing(secrets: Mapping[str, str], env: Mapping[str, str]) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield the standard input and the environment of a program that is started in the block.  Raises `TooLong`."""
    reader = pipe(secrets) if secrets else os.open(os.devnull, os.O_RDONLY)
    try:
        yield reader, {**env, SECRETS_FD: "0"} if secrets else dict(env)
    finally:
        os.close(reader)


def handed() -> dict[str, str]:
    """Take what this process was handed: nothing if that was nothing."""
    if not (number := os.environ.pop(SECRETS_FD, "")):
        return {}
    with open(int(number), "rb", closefd=number != "0") as reader:
        secrets: dict[str, str] = json.load(reader)
    return secrets


def become(module: str, *arguments: str, secrets_of: tuple[str, ...] = tuple(SECRETS)) -> NoReturn:
    """Go on as the program of a module in this process, which is handed those secrets.  Raises `TooLong`."""
    passes, found = split(os.environ)
    secrets = chosen(found, secrets_of)
    passes.pop(SECRETS_FD, None)  # nobody has handed us any: it would be told there
    if secrets:
        reader = pipe(secrets)
        os.set_inheritable(reader, True)
        passes[SECRETS_FD] = str(reader)
    sys.stdout.flush()
    os.execve(sys.executable, [sys.executable, *_rooms.program(module), *arguments], passes)


def is_clean() -> bool:
    """Return whether this process was started in an environment that programs of the mesh may have."""
    return split(os.environ)[0] == dict(os.environ)
