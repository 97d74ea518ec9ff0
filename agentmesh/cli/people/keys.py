"""`agentmesh keys`: API keys of yours, and the keys by which a mesh signs them and seals secrets."""

import asyncio
import base64
import contextlib
import datetime
import json
import os
import pathlib
import pwd
import secrets
import time
from typing import Annotated

import typer

from agentmesh.cli.terminal import output
from agentmesh.cli.terminal.session import URL, AsJson, Url, call
from agentmesh.client import AsyncClient
from agentmesh.supervisor.handing import ENCRYPTION_KEY

DataDir = Annotated[
    pathlib.Path, typer.Option(help="Where the auth service keeps everything.", envvar="AGENTMESH_DATA_DIR")
]
DATA_DIR = pathlib.Path("data")
_FIRST = "signing_key.pem"
_SEALING_BYTES = 32
_WITHIN_S = 5.0


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(no_args_is_help=True)
    group.command("list")(_list)
    group.command("add")(_add)
    group.command("delete")(_delete)
    group.command("signing", short_help="Show the signing keys of a mesh on this machine.")(_signing)
    group.command("rotate-signing", short_help="Have another key sign from now on.")(_rotate)
    group.command("rotate-sealing", short_help="Have another key seal secrets from now on.")(_rotate_sealing)
    app.add_typer(group, name="keys", help="API keys for programs, and the keys by which a mesh signs and seals.")


def _list(url: Url = URL, as_json: AsJson = False) -> None:
    """List your API keys, newest first."""

    async def work(client: AsyncClient) -> None:
        found = [key async for key in client.keys.list()]
        if as_json:
            for key in found:
                output.as_json(key)
            return
        rows = [
            (
                key.name.removeprefix("apiKeys/"),
                key.display_name,
                *map(output.moment, (key.create_time, key.expire_time)),
            )
            for key in found
        ]
        output.table(("KEY", "NAME", "CREATED", "EXPIRES"), rows)

    call(url, work)


def _add(
    name: Annotated[str, typer.Argument(help="What you call it.")],
    days: Annotated[int, typer.Option(min=0, max=3650, help="How long it holds; 0 takes 365.")] = 0,
    url: Url = URL,
    as_json: AsJson = False,
) -> None:
    """Make an API key.  Its token is printed, this once: AGENTMESH_TOKEN takes it, and so do all APIs."""

    async def work(client: AsyncClient) -> None:
        key = await client.keys.create(name, days=days)
        output.as_json(key) if as_json else print(key.token)
        output.note(
            f"{key.name.removeprefix('apiKeys/')} holds until {output.moment(key.expire_time)}; it is not shown again"
        )

    call(url, work)


def _delete(key: Annotated[str, typer.Argument(help="Id of the key, as `list` shows it.")], url: Url = URL) -> None:
    """Revoke an API key: it is refused from now on."""

    async def work(client: AsyncClient) -> None:
        await client.keys.delete(key)
        output.say(f"{key} deleted")

    call(url, work)


def _signing(data_dir: DataDir = DATA_DIR, as_json: AsJson = False) -> None:
    """Show the signing keys of a data directory, the oldest first: all of them verify what they have signed."""
    now = _now()
    found = _found(data_dir)
    signs = max((at for at, _ in found if at <= now), default=0.0)
    for at, path in found:
        state = "signs" if at == signs else "verifies" if at < now else "waits"
        since = "" if not at else f"{datetime.datetime.fromtimestamp(at, datetime.UTC):%Y-%m-%dT%H:%M:%SZ}"
        if as_json:
            print(json.dumps({"file": str(path), "state": state, "signs_from": since}))
        else:
            output.say(f"{state}  {path}{'  from ' if since else ''}{since}")


def _now() -> float:
    """Return the time by which the auth service goes: PostgreSQL's, where the mesh has one.  Raises `ValueError`."""
    url = os.environ.get("AGENTMESH_DATABASE_URL", "")
    if url.partition(":")[0] not in ("postgresql", "postgres"):
        return time.time()
    try:
        return asyncio.run(_told(url))
    except Exception as error:  # of its driver, which may not be there
        why = "AGENTMESH_DATABASE_URL: the mesh goes by PostgreSQL's time, and that cannot be asked for"
        raise ValueError(f"{why}: {error or type(error).__name__}") from error


async def _told(url: str) -> float:
    import asyncpg

    connection = await asyncpg.connect(url, timeout=_WITHIN_S)
    try:
        return float(await connection.fetchval("SELECT extract(epoch FROM clock_timestamp())::float8"))
    finally:
        await connection.close(timeout=_WITHIN_S)


def _rotate(
    data_dir: DataDir = DATA_DIR,
    lead_s: Annotated[
        float, typer.Option(help="How long everybody has to hear of it before it signs.", min=0, max=86_400)
    ] = 60.0,
) -> None:
    """Make another signing key.  A mesh that runs takes it up by itself, and nobody is signed out.

    The new key verifies within seconds and signs after a minute; the old ones go on verifying the tokens that they have
    signed.  Where auth runs on several machines, copy the new file to the same place on each at once.  If a key was
    stolen, this is not enough: stop the mesh and remove the file of that key, too; what it has signed fails then.
    """
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    found = _found(data_dir)
    if not found:
        raise ValueError(f"{data_dir / 'auth'} has no signing key: say where the mesh is with --data-dir")
    now = _now()
    if found[-1][0] > now:
        raise ValueError(f"{found[-1][1].name} waits to sign already: it takes over in {found[-1][0] - now:.0f} s")
    path = data_dir / "auth" / f"signing_key.{round((now + lead_s) * 1_000_000)}.pem"
    pem = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    _put(path, pem, found[-1][1])
    print(f"{path} signs in {lead_s:g} s; the {len(found)} before go on verifying")


def _rotate_sealing(data_dir: DataDir = DATA_DIR) -> None:
    """Make another key that seals secrets.  `agentmesh restart` has the services of a mesh that runs seal with it.

    Until then they open what it has sealed.  The keys before stay in the file, and open what they have sealed until
    that is saved anew.  Where services run on several machines, copy the file to all of them before you restart any.
    """
    path = data_dir / "encryption.key"
    if os.environ.get(ENCRYPTION_KEY):
        raise ValueError(
            f"{ENCRYPTION_KEY} is set, so the mesh reads no file: say OLD,NEW there and restart the services, so that "
            "each can open what another will seal; then NEW,OLD, and restart them again"
        )
    try:
        known = path.read_text(encoding="ascii").replace(",", " ").split()
    except FileNotFoundError:
        raise ValueError(f"{path} is not there: say where the mesh is with --data-dir") from None
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}") from None
    except ValueError:
        known = []
    if not known or not all(map(_seals, known)):
        raise ValueError(f"{path} is damaged: put the right one back; each line is a key of {_SEALING_BYTES} bytes")
    _put(path, "".join(f"{key}\n" for key in (secrets.token_hex(_SEALING_BYTES), *known)).encode(), path)
    print(f"{path}: another key seals once the services are restarted; the {len(known)} before go on opening")


def _seals(key: str) -> bool:
    """Return whether it is a key as services take it: in hexadecimal or base64."""
    padded = key + "=" * (-len(key) % 4)
    for decode, text in ((bytes.fromhex, key), (base64.urlsafe_b64decode, padded)):
        with contextlib.suppress(ValueError):
            if len(decode(text)) == _SEALING_BYTES:
                return True
    return False


def _put(path: pathlib.Path, content: bytes, before: pathlib.Path) -> None:
    """Write a file that only the mesh's user can read: whoever has the one `before` it.

    The mesh looks there at any moment: it finds a whole one, or that before.
    """
    draft = path.with_name(f".{path.name}")
    try:
        owner = before.stat()
        if os.geteuid() not in (0, owner.st_uid):
            raise ValueError(f"{before} is of the user {_user(owner.st_uid)}: be them, or root, to write another")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                if os.geteuid() != owner.st_uid:
                    os.fchown(descriptor, owner.st_uid, owner.st_gid)
                file.write(content)
                file.flush()
                os.fsync(descriptor)
            draft.rename(path)
        except BaseException:
            draft.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}") from None


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _found(data_dir: pathlib.Path) -> list[tuple[float, pathlib.Path]]:
    """Return the keys and from when on each signs, in seconds since 1970, the oldest first."""
    found = []
    for path in (data_dir / "auth").glob("signing_key*.pem"):
        number = path.name.removeprefix("signing_key").removesuffix(".pem").removeprefix(".")
        if path.name == _FIRST or number.isdecimal():
            found.append((int(number or 0) / 1_000_000, path))
    return sorted(found)
