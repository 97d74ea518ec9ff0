"""`agentmesh backup` and `agentmesh restore`."""

import contextlib
import datetime
import fcntl
import importlib.metadata
import os
import pathlib
import shlex
import shutil
import sqlite3
import tempfile
import urllib.parse
from collections.abc import Iterator
from typing import Annotated

import typer

from agentmesh.backups import archive, files, folders, postgres

DATABASE_URL = "AGENTMESH_DATABASE_URL"
FILES_URL = "AGENTMESH_FILES_URL"
_DUMP = "postgresql.dump"
_NEEDED = ("mesh.secret", "encryption.key", "auth/signing_key.pem")

DataDir = Annotated[pathlib.Path, typer.Option(help="Where the mesh keeps everything.", envvar="AGENTMESH_DATA_DIR")]
DATA_DIR = pathlib.Path("data")


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(short_help="Copy everything a mesh keeps into one file.")(backup)
    app.command(short_help="Put a backup back.")(restore)


def backup(
    file: Annotated[pathlib.Path, typer.Argument(help="A new file, or a folder for one.")],
    data_dir: DataDir = DATA_DIR,
    keys: Annotated[
        bool, typer.Option("--keys/--no-keys", help="Whether the mesh's keys are in it.", show_default=True)
    ] = True,
    of_jobs: Annotated[
        bool, typer.Option("--files/--no-files", help="Whether files of jobs are in it.", show_default=True)
    ] = True,
) -> None:
    """Copy everything that a mesh keeps into one file, whether it runs or not.

    It is of one moment, as a power cut would have left everything then.  AGENTMESH_DATABASE_URL says where the state
    is, as it does to the mesh.  Files of jobs are in it if they are in the data directory: where AGENTMESH_FILES_URL
    names another place, they are left there.

    With the keys whoever reads the file can act as any user and read what is sealed: only its owner can.  Without them,
    keep mesh.secret, encryption.key and auth/signing_key.pem of the data directory elsewhere.
    """
    if not data_dir.is_dir():
        raise ValueError(f"{data_dir} is no data directory of a mesh: say which with --data-dir")
    now = datetime.datetime.now(datetime.UTC)
    target = file / f"agentmesh-{now:%Y%m%d-%H%M%S}.tar" if file.is_dir() else file
    if target.exists():
        raise ValueError(f"{target} exists: name a new file, or a folder")
    try:
        source = data_dir / folders.FOLDER if of_jobs and not os.environ.get(FILES_URL) else None
        with (
            tempfile.TemporaryDirectory(prefix=".agentmesh-backup-", dir=target.parent) as drafts,
            contextlib.nullcontext() if source is None else folders.room(data_dir) as kept,
        ):
            if source is not None and kept is not None:
                folders.take(source, kept)
            found, kind = _databases(data_dir, pathlib.Path(drafts))
            if source is not None and kept is not None:
                folders.take(source, kept)
            if keys:
                found |= {f"{archive.KEYS}/{name}": data_dir / name for name in _keys(data_dir)}
            said = {"version": importlib.metadata.version("agentmesh"), "databases": kind}
            made = archive.write(target, found, {**said, "taken_at": f"{now:%Y-%m-%dT%H:%M:%SZ}"}, kept)
    except OSError as error:
        raise ValueError(f"{error.filename or target}: {error.strerror}: choose another place") from None
    except sqlite3.Error as error:
        raise ValueError(f"a database in {data_dir} cannot be read: {error}") from None
    count, size = made.of_jobs
    size += sum(length for length, _ in made.files.values())
    print(f"{target}: {len(made.files) + count} files, {size} bytes, of {made.taken_at}")
    if source is None:
        where = f"what {FILES_URL} names" if os.environ.get(FILES_URL) else data_dir / folders.FOLDER
        print(f"files of jobs are not in it: save {where} beside it")
    if keys:
        print("the mesh's keys are in it: whoever reads it can act as any user")


def restore(
    file: Annotated[pathlib.Path, typer.Argument(help="What `agentmesh backup` has made.")],
    data_dir: DataDir = DATA_DIR,
    replace: Annotated[
        bool,
        typer.Option(
            "--replace",
            help="Move what is in the data directory aside, or drop the mesh's schemas in the PostgreSQL.",
        ),
    ] = False,
) -> None:
    """Put a backup into a data directory where nothing is, and its state to where AGENTMESH_DATABASE_URL says.

    No mesh may run there.  Everything is checked before anything is put anywhere.
    """
    url = os.environ.get(DATABASE_URL, "")
    try:
        with (
            _unused(data_dir),
            tempfile.TemporaryDirectory(prefix=".agentmesh-restore-", dir=data_dir.parent) as drafts,
            archive.opened(file) as (manifest, tar),
        ):
            _check_kind(manifest, url)
            folder = _folder(data_dir, url)
            _check_empty(data_dir, folder, replace=replace)
            found = archive.unpack(tar, manifest, pathlib.Path(drafts))
            for name, path in found.items():
                if name.startswith(archive.DATABASES) and path.suffix == ".db":
                    files.check(path)
            aside = _moved_aside(data_dir, folder) if replace else None
            _put(found, data_dir, folder, url, replace=replace)
            if (of_jobs := pathlib.Path(drafts) / archive.OF_JOBS).exists():
                shutil.move(of_jobs, data_dir / folders.FOLDER)
    except OSError as error:
        raise ValueError(f"{error.filename or file}: {error.strerror}") from None
    print(f"{data_dir}: {len(found) + manifest.of_jobs[0]} files, of {manifest.taken_at}")
    if os.environ.get(FILES_URL) and manifest.of_jobs[0]:
        print(f"{FILES_URL} names another place: files of jobs are in {data_dir / folders.FOLDER}, move them there")
    if aside is not None:
        print(f"what was there is in {aside}")
    if missing := [name for name in _NEEDED if not (data_dir / name).exists()]:
        print(f"the backup has no keys: put {', '.join(missing)} into {data_dir} before the mesh starts")
    print(f"nothing runs yet: agentmesh up --data-dir {shlex.quote(str(data_dir))}")


def _databases(data_dir: pathlib.Path, drafts: pathlib.Path) -> tuple[dict[str, pathlib.Path], str]:
    """Return copies of the databases by their names in the archive, and of which kind they are."""
    url = os.environ.get(DATABASE_URL, "")
    if postgres.is_postgres(url):
        postgres.dump(url, drafts / _DUMP)
        return {f"{archive.DATABASES}/{_DUMP}": drafts / _DUMP}, "postgresql"
    sources = sorted(_folder(data_dir, url).glob("*.db"))
    if not sources:
        raise ValueError(f"{_folder(data_dir, url)} has no databases: say where the mesh is with --data-dir")
    return {f"{archive.DATABASES}/{path.name}": path for path in files.copy(sources, drafts)}, "sqlite"


def _folder(data_dir: pathlib.Path, url: str) -> pathlib.Path:
    """Return the folder of the SQLite files."""
    scheme, _, path = url.partition("://")
    return pathlib.Path(urllib.parse.unquote(path)) if scheme == "sqlite" and path else data_dir


def _keys(data_dir: pathlib.Path) -> list[str]:
    found = (path for pattern in archive.KEY_FILES for path in data_dir.glob(pattern))
    return [str(path.relative_to(data_dir)) for path in found]


def _check_kind(manifest: archive.Manifest, url: str) -> None:
    kind = "postgresql" if postgres.is_postgres(url) else "sqlite"
    if manifest.databases != kind:
        raise ValueError(
            f"the backup is of {manifest.databases}, and {DATABASE_URL} names {kind}: a backup goes back to where it"
            " came from"
        )


@contextlib.contextmanager
def _unused(data_dir: pathlib.Path) -> Iterator[None]:
    """Hold the data directory, as a mesh does; what was made for that is gone again if the block fails.

    Raises `ValueError` if a mesh has it.
    """
    lock_path = data_dir / "up.lock"
    made = [folder for folder in (data_dir, *data_dir.parents) if not folder.exists()]  # the innermost first
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            lock = lock_path.open("x", encoding="utf-8")
            made.insert(0, lock_path)
        except FileExistsError:
            lock = lock_path.open("a", encoding="utf-8")
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise ValueError(f"a mesh runs in {data_dir}: stop it first, or name another --data-dir") from None
            yield
    except BaseException:
        for path in made:
            with contextlib.suppress(OSError):  # what has got something from the backup stays
                path.unlink() if path == lock_path else path.rmdir()
        raise


def _there(data_dir: pathlib.Path, folder: pathlib.Path) -> list[pathlib.Path]:
    inside = [path for path in data_dir.iterdir() if path.name != "up.lock"]
    return [*inside, *(() if folder == data_dir or not folder.exists() else folder.glob("*.db*"))]


def _check_empty(data_dir: pathlib.Path, folder: pathlib.Path, *, replace: bool) -> None:
    if not replace and (there := _there(data_dir, folder)):
        raise ValueError(f"{there[0].parent} is not empty: name another --data-dir, or say --replace to move it aside")


def _moved_aside(data_dir: pathlib.Path, folder: pathlib.Path) -> pathlib.Path | None:
    if not (there := _there(data_dir, folder)):
        return None
    aside = pathlib.Path(tempfile.mkdtemp(prefix=f"{data_dir.name}-before-", dir=data_dir.parent))
    for path in there:
        shutil.move(path, aside / path.name)
    return aside


def _put(
    found: dict[str, pathlib.Path], data_dir: pathlib.Path, folder: pathlib.Path, url: str, *, replace: bool
) -> None:
    for name, path in found.items():
        room, _, rest = name.partition("/")
        if rest == _DUMP:
            postgres.restore(url, path, replace=replace)
            continue
        place = (data_dir if room == archive.KEYS else folder) / rest
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        shutil.move(path, place)
