"""The file of a backup: a tar with a manifest that says what is in it, how long and with which checksums.

    manifest.json                 {"format": 1, "version": …, "taken_at": …, "databases": …, "files": {…}}
    databases/runner.db …         or databases/postgresql.dump
    keys/mesh.secret …            unless they were left out

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

FORMAT = 1
DATABASES, KEYS = "databases", "keys"
KEY_FILES = ("mesh.secret", "encryption.key", "auth/signing_key*.pem", "ledger.token")
"""What cannot be made anew in the data directory: who has it can act as any user, and read what is sealed."""
_MANIFEST = "manifest.json"
_MANIFEST_BYTES_MAX = 1024 * 1024
_PIECE = 1024 * 1024


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


def write(target: pathlib.Path, found: Mapping[str, pathlib.Path], manifest: Mapping[str, Any]) -> Manifest:
    """Write files, by their names in the archive, to `target`; return what the archive says.

    Raises `OSError`, such as `FileExistsError`: a backup is never written over.
    """
    files = {name: (path.stat().st_size, _digest(path)) for name, path in sorted(found.items())}
    made = Manifest(files=files, **manifest)
    draft = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
                text = json.dumps({"format": FORMAT, **dataclasses.asdict(made)}, indent=1).encode()
                tar.addfile(_entry(_MANIFEST, len(text)), io.BytesIO(text))
                for name, path in sorted(found.items()):
                    with path.open("rb") as source:
                        tar.addfile(_entry(name, files[name][0]), source)
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, target)  # unlike a move, it takes no other file's place
    finally:
        draft.unlink(missing_ok=True)
    return made


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
        manifest = Manifest(files=files, **said) if number == FORMAT else None
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise no_backup from error
    if manifest is None:
        raise Broken(
            f"{path} has format {number}, and this version knows {FORMAT}: restore it with {said.get('version')}"
        )
    return manifest


def unpack(tar: tarfile.TarFile, manifest: Manifest, folder: pathlib.Path) -> dict[str, pathlib.Path]:
    """Write every file of the manifest below `folder`; return where, by name.  Raises `Broken` unless all are right."""
    found = {}
    for name, (size, digest) in manifest.files.items():
        room, _, rest = name.partition("/")
        parts = pathlib.PurePosixPath(rest).parts
        if room not in (DATABASES, KEYS) or not parts or ".." in parts or rest.startswith("/"):
            raise Broken(f"the backup names {name[:80]!r}, which is no place for a file of it: it was tampered with")
        try:
            entry = tar.getmember(name)
        except KeyError:
            raise Broken(f"the backup lacks {name}, which its manifest names: take another") from None
        source = tar.extractfile(entry)  # None: a link, a folder
        path = folder / room / rest
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            while source is not None and (piece := source.read(_PIECE)):
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
        if (path.stat().st_size, _digest(path)) != (size, digest):
            raise Broken(f"{name} of the backup is not what was written (its SHA-256 differs): take another")
        found[name] = path
    return found


def _digest(path: pathlib.Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
