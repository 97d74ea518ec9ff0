"""Somebody who runs apps."""

from collections.abc import AsyncGenerator
from typing import Protocol

from services.registry.domain.deploying import Deployed, Plan
from services.registry.domain.standings import Snapshot

APPS = "apps"
"""What is published when an app stands elsewhere than before, or that is no longer known."""


class Apps(Protocol):
    """Runs the app of an expose, by the expose's id."""

    async def fetch(self, *, patient: bool = False) -> Snapshot:
        """Return where apps stand; raise a `MeshError` if nobody answers.

        A `patient` caller waits for a runner that is being restarted.
        """

    def follow(self) -> AsyncGenerator[Snapshot, None]:
        """Yield where apps stand, whole: at once, whenever it changes, and every few seconds.

        Ends, or raises a `MeshError`, when it is cut off.
        """

    async def deploy(self, expose: str, plan: Plan, timeout_s: float) -> Deployed:
        """Load an app and return what serves now; raise `DeployFailed` with the reason if nothing does."""

    async def remove(self, expose: str) -> None:
        """Stop an app; one that is not there is fine.  Raises a `MeshError` if it cannot be stopped."""

    async def probe(self, expose: str, path: str, timeout_s: float) -> int:
        """Ask a flow for its form; return the HTTP status, or raise a `MeshError` if there is none."""
