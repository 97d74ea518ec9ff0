"""`Client.files`: as that of `AsyncClient`, without asyncio."""

import pathlib
from collections.abc import Iterable, Iterator, Mapping, Sequence

from agentmesh._client import files
from agentmesh._client.files import File, Local
from agentmesh._client.sync_collections import Runner


class SyncFiles:
    """Files of jobs; see `AsyncClient.files`."""

    def __init__(self, runner: Runner, files: files.Files) -> None:
        self._runner = runner
        self._files = files

    def list(self, job: str, root: str = "") -> Sequence[File]:
        """Return the files of a job, by path."""
        return self._runner.call(self._files.list(job, root))

    def read(self, job: str, path: str) -> bytes:
        """Return what is in a file."""
        return self._runner.call(self._files.read(job, path))

    def stream(self, job: str, path: str, *, offset: int = 0) -> Iterator[bytes]:
        """Yield a file in pieces."""
        return self._runner.iterate(self._files.stream(job, path, offset=offset))

    def download(self, job: str, path: str, to: Local) -> pathlib.Path:
        """Copy a file to this machine."""
        return self._runner.call(self._files.download(job, path, to))

    def upload(self, job: str, local: Local, path: str = "") -> File:
        """Copy a file of this machine to a job."""
        return self._runner.call(self._files.upload(job, local, path))

    def send(self, local: Local | Iterable[Local] | Mapping[str, Local]) -> str:
        """Send files ahead of a launch; return what its inputs have in their place."""
        return self._runner.call(self._files.send(local))

    def delete(self, job: str, path: str) -> None:
        """Delete a file, or a folder."""
        self._runner.call(self._files.delete(job, path))
