"""Fetch a zip file or a wheel and unpack it: a program of its own, which a host starts confined.

The argument is a file with what is to be fetched, as an address may hold a token.  Why it cannot be had is said on
stderr, and the exit code is 1.  Every request, redirects too, passes the mesh's guard of addresses.
"""

import asyncio
import io
import json
import pathlib
import stat
import sys
import urllib.parse
import zipfile
from typing import Any

import httpx

from agentmesh.host.packages.asked import hidden
from meshkit.net import outgoing

BYTES_MAX = 256 * 1024 * 1024
"""Of what is fetched."""
UNPACKED_BYTES_MAX = 1024 * 1024 * 1024
"""Of what is in it."""
ENTRIES_MAX = 50_000
DIRECTORY_BYTES_MAX = 16 * 1024 * 1024
"""Of the list of what is in it."""
_SILENCE_S = 60.0
_REDIRECTS_MAX = 5
_PIECE_BYTES = 256 * 1024


class Unusable(Exception):
    """It cannot be had, or cannot be unpacked; the text says why."""


async def fetch(url: str, into: pathlib.Path, *, private: bool) -> None:
    """Write what is at `url` to the file `into`.  Raises `Unusable`, and `httpx.HTTPError`."""
    parts = urllib.parse.urlsplit(url)
    # An address with a token in it, as bootstraps have them: it goes into a header, which no redirect takes elsewhere.
    credentials = (urllib.parse.unquote(parts.username or ""), urllib.parse.unquote(parts.password or ""))
    address = urllib.parse.urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], fragment=""))
    async with outgoing.client(httpx, private=private, timeout_s=_SILENCE_S, **following(private=private)) as client:
        auth = httpx.BasicAuth(*credentials) if any(credentials) else None
        async with client.stream("GET", address, auth=auth) as answer:
            if answer.status_code != 200:
                raise Unusable(f"the answer is {answer.status_code}")
            size = 0
            with into.open("wb") as file:
                async for piece in answer.aiter_bytes(_PIECE_BYTES):
                    size += len(piece)
                    if size > BYTES_MAX:
                        raise Unusable(f"it has more than {BYTES_MAX} bytes")
                    file.write(piece)


def following(*, private: bool) -> dict[str, Any]:
    """Return the options of a client that follows redirects: to https:// only, unless `private` addresses are fetched.

    A request to another raises `Unusable`.
    """

    async def check(request: httpx.Request) -> None:
        if request.url.scheme != "https" and not private:
            raise Unusable("only https:// is fetched")

    return {"follow_redirects": True, "max_redirects": _REDIRECTS_MAX, "event_hooks": {"request": [check]}}


def unpack(archive: pathlib.Path, into: pathlib.Path, *, is_wheel: bool) -> None:
    """Unpack a zip file into the new folder `into`; of one whose all is in one folder, what is in that.

    Raises `Unusable` for what would end up elsewhere, is a link, or is too much.
    """
    try:
        with _Bounded(archive.open("rb", buffering=0)) as file, zipfile.ZipFile(file) as opened:
            entries = [(entry, _path(entry)) for entry in opened.infolist()]
            if len(entries) > ENTRIES_MAX:
                raise Unusable(f"there are more than {ENTRIES_MAX} files in it")
            tops = {path.parts[0] for entry, path in entries if path.parts}
            nested = all(len(path.parts) > 1 or entry.is_dir() for entry, path in entries)
            cut = 1 if len(tops) == 1 and nested and not is_wheel else 0
            left = UNPACKED_BYTES_MAX
            into.mkdir()
            for entry, path in entries:
                target = into.joinpath(*path.parts[cut:])
                if entry.is_dir():
                    target.mkdir(parents=True, exist_ok=True)
                    continue
                target.parent.mkdir(parents=True, exist_ok=True)
                left -= _copy(opened, entry, target, left)
    except (Unusable, OSError):
        raise
    except Exception as error:  # each of the decoders has errors of its own for what is broken
        raise Unusable(f"it is no zip file that can be read: {error}") from error


class _Bounded(io.BufferedReader):
    """An archive: `zipfile` reads the list of all that is in it at once, and makes an object of each line."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > DIRECTORY_BYTES_MAX:
            raise Unusable(f"the list of what is in it has more than {DIRECTORY_BYTES_MAX} bytes")
        return super().read(size)


def _path(entry: zipfile.ZipInfo) -> pathlib.PurePosixPath:
    path = pathlib.PurePosixPath(entry.filename)
    sort = stat.S_IFMT(entry.external_attr >> 16)
    if path.is_absolute() or ".." in path.parts or "\\" in entry.filename or "\0" in entry.orig_filename:
        raise Unusable(f"{entry.filename!r} in it leads elsewhere")
    if sort not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise Unusable(f"{entry.filename!r} in it is a link, or no file")
    return path


def _copy(opened: zipfile.ZipFile, entry: zipfile.ZipInfo, target: pathlib.Path, left: int) -> int:
    """Write a file of an archive, whatever it says of its size; return how many bytes it has."""
    size = 0
    with opened.open(entry) as source, target.open("xb") as file:
        while piece := source.read(_PIECE_BYTES):
            size += len(piece)
            if size > left:
                raise Unusable(f"there are more than {UNPACKED_BYTES_MAX} bytes in it")
            file.write(piece)
    target.chmod(0o755 if entry.external_attr >> 16 & 0o100 else 0o644)
    return size


def main() -> None:
    """Do what the file says."""
    request = pathlib.Path(sys.argv[1])
    asked = json.loads(request.read_text(encoding="utf-8"))
    url, into = asked["url"], pathlib.Path(asked["into"])
    archive = request.with_name("archive")
    try:
        asyncio.run(fetch(url, archive, private=bool(asked["private"])))
        unpack(archive, into, is_wheel=urllib.parse.urlsplit(url).path.endswith(".whl"))
    except (Unusable, httpx.HTTPError, OSError) as error:
        print(hidden(f"{error or type(error).__name__}"), file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
