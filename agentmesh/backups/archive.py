"""The file of a backup: a tar with a manifest that says what is in it, how long and with which checksums.

    manifest.json                 {"format": 2, "version": …, "taken_at": …, "databases": …, "files": {…}, "of_jobs": …}
    databases/runner.db …         or databases/postgresql.dump
    keys/mesh.secret …            unless they were left out
    files/OWNER/JOB/in/… …        of jobs, unless they were left out or are elsewhere

Those of jobs may be any number: the manifest has how many, and the header of each its checksum.

It is written beside its place and moved there when it is whole and on disk; only its owner can read it.
"""

import contextlib
import dataclasses
import hashlib
import io
import json
import os
import pathlib
import tarfile
from collections.abc import Iterator, Mapping
from typing import Any

from agentmesh.backups import folders

FORMAT = 2
_KNOWN = (1, FORMAT)
DATABASES, KEYS, OF_JOBS = "databases", "keys", folders.FOLDER
KEY_FILES = ("mesh.secret", "encryption.key", "auth/signing_key*.pem", "ledger.token")
"""What cannot be made anew in the data directory: who has it can act as any user, and read what is sealed."""
_MANIFEST = "manifest.json"
_MANIFEST_BYTES_MAX = 1024 * 1024
_PIECE = 1024 * 1024
_CHECKSUM = "AGENTMESH.sha256"


class Broken(ValueError):
    """The file is no backup, or not what was written; the message says what to do."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What is in a backup."""

    version: str
    """Of the mesh that took it."""
    taken_at: str
    """The one moment of which everything is, in UTC (RFC 3339)."""
    databases: str
    """`sqlite` or `postgresql`."""
    files: Mapping[str, tuple[int, str]]
    """Bytes and SHA-256 of each, by its name in the archive."""
    of_jobs: tuple[int, int] = (0, 0)
    """How many files of jobs there are beside these, and their bytes."""


def write(
    target: pathlib.Path,
    found: Mapping[str, pathlib.Path],
    manifest: Mapping[str, Any],
    of_jobs: pathlib.Path | None = None,
) -> Manifest:
    """Write files, by their names in the archive, to `target`; return what the archive says.

    `of_jobs` is a folder of more, in which nobody writes.

    Raises `OSError`, such as `FileExistsError`: a backup is never written over.
    """
    files = {name: (path.stat().st_size, _digest(path)) for name, path in sorted(found.items())}
    made = Manifest(files=files, of_jobs=_measured(of_jobs) if of_jobs is not None else (0, 0), **manifest)
    draft = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
                text = json.dumps({"format": FORMAT, **dataclasses.asdict(made)}, indent=1).encode()
                tar.addfile(_entry(_MANIFEST, len(text)), io.BytesIO(text))
                for name, path in sorted(found.items()):
                    with path.open("rb") as source:
                        tar.addfile(_entry(name, files[name][0]), source)
                if of_jobs is not None:
                    _add_all(tar, of_jobs)
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, target)  # unlike a move, it takes no other file's place
    finally:
        draft.unlink(missing_ok=True)
    return made


def _measured(folder: pathlib.Path) -> tuple[int, int]:
    count = size = 0
    for name in folders.files(folder):
        count, size = count + 1, size + (folder / name).stat().st_size
    return count, size


def _add_all(tar: tarfile.TarFile, folder: pathlib.Path) -> None:
    for name in folders.files(folder):
        with (folder / name).open("rb") as source:
            fact = os.fstat(source.fileno())
            entry = _entry(f"{OF_JOBS}/{name}", fact.st_size)
            entry.mtime = fact.st_mtime
            entry.pax_headers = {_CHECKSUM: _digest(folder / name)}
            tar.addfile(entry, source)
        _forget(tar)


def _forget(tar: tarfile.TarFile) -> None:
    """Have an archive not remember every entry that it has seen: there may be any number."""
    vars(tar)["members"].clear()


def _entry(name: str, size: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = size, 0o600
    return entry


@contextlib.contextmanager
def opened(path: pathlib.Path) -> Iterator[tuple[Manifest, tarfile.TarFile]]:
    """Yield what a backup says that it has, and its archive.  Raises `Broken` and `OSError`."""
    try:
        with tarfile.open(path, mode="r:") as tar:
            yield _manifest(tar, path), tar
    except tarfile.TarError as error:
        raise Broken(f"{path} is no backup, or was cut off: name one that `agentmesh backup` has made") from error


def _manifest(tar: tarfile.TarFile, path: pathlib.Path) -> Manifest:
    no_backup = Broken(f"{path} is no backup: name one that `agentmesh backup` has made")
    first = tar.next()
    if first is None or first.name != _MANIFEST or first.size > _MANIFEST_BYTES_MAX:
        raise no_backup
    source = tar.extractfile(first)
    try:
        said = json.load(source) if source is not None else {}
        number = said.pop("format")
        files = {name: (int(size), str(digest)) for name, (size, digest) in said.pop("files").items()}
        count, size = map(int, said.pop("of_jobs", (0, 0)))
        manifest = Manifest(files=files, of_jobs=(count, size), **said) if number in _KNOWN else None
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise no_backup from error
    if manifest is None:
        raise Broken(
            f"{path} has format {number}, and this version knows {FORMAT}: restore it with {said.get('version')}"
        )
    return manifest


def unpack(tar: tarfile.TarFile, manifest: Manifest, folder: pathlib.Path) -> dict[str, pathlib.Path]:
    """Write all that the archive has below `folder`; return where each file of the manifest is, by name.

    Those of jobs are below `files` then.  Raises `Broken` unless all are right, and there is nothing else.
    """
    found: dict[str, pathlib.Path] = {}
    count = size = 0
    while (entry := tar.next()) is not None:
        _forget(tar)
        room, _, rest = entry.name.partition("/")
        if not _is_place(room, rest) or not entry.isreg() or entry.issparse():
            raise Broken(
                f"the backup names {entry.name[:80]!r}, which is no place for a file of it: it was tampered with"
            )
        is_of_job = room == OF_JOBS
        if not is_of_job and (entry.name not in manifest.files or entry.name in found):
            raise Broken(f"the backup has {entry.name[:80]!r}, which its manifest does not name: it was tampered with")
        said = (entry.size, entry.pax_headers.get(_CHECKSUM, "")) if is_of_job else manifest.files[entry.name]
        (folder / room).mkdir(mode=0o700, exist_ok=True)
        path = folder / room / rest
        _extract(tar, entry, path, said, settle=not is_of_job)
        if is_of_job:
            os.utime(path, (entry.mtime, entry.mtime))
            count, size = count + 1, size + entry.size
        else:
            found[entry.name] = path
    if lacking := sorted(manifest.files.keys() - found.keys()):
        raise Broken(f"the backup lacks {lacking[0][:80]}, which its manifest names: take another")
    if (count, size) != manifest.of_jobs:
        raise Broken(f"the backup has {count} files of jobs, and its manifest says {manifest.of_jobs[0]}: take another")
    if count:
        os.sync()
    return found


def _is_place(room: str, rest: str) -> bool:
    parts = rest.split("/")
    return room in (DATABASES, KEYS, OF_JOBS) and not any(part in ("", ".", "..") for part in parts)


def _extract(
    tar: tarfile.TarFile, entry: tarfile.TarInfo, path: pathlib.Path, said: tuple[int, str], *, settle: bool
) -> None:
    """Write an entry to where nothing is, and on disk with `settle`.  Raises `Broken` if it is not what is said."""
    source = tar.extractfile(entry)
    digest = hashlib.sha256()
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            while source is not None and (piece := source.read(_PIECE)):
                digest.update(piece)
                file.write(piece)
            size = file.tell()
            if settle:
                file.flush()
                os.fsync(file.fileno())
    except (FileExistsError, NotADirectoryError):
        raise Broken(f"the backup has {entry.name[:80]!r} twice: it was tampered with") from None
    if (size, digest.hexdigest()) != said:
        raise Broken(f"{entry.name} of the backup is not what was written (its SHA-256 differs): take another")


def _digest(path: pathlib.Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
