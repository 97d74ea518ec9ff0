"""Duties: who cannot say that they have one does not do it."""

import asyncio

from services.runner.replicas.duties import Duty
from services.runner.stores.postgres.replicas import PostgresReplicas
from tests.runner.stack import DEADLINE_S


class Silent(PostgresReplicas):
    """A table that can be asked once; then its server says nothing any more."""

    def __init__(self) -> None:
        self._said = False

    async def take_duty(self, name: str, runner_id: str, seen: tuple[str, int] | None) -> tuple[str, int]:
        """Let whoever asks first have it."""
        if self._said:
            await asyncio.Event().wait()
        self._said = True
        return runner_id, 1


async def test_a_server_that_hangs_does_not_keep_a_duty() -> None:
    """Its work is ended though the question has no answer: another replica may have the duty by now."""
    begun, ended = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    duty = Duty("placing", "r1", Silent(), lease_s=3.0)
    running = asyncio.create_task(duty.run(work))
    try:
        async with asyncio.timeout(DEADLINE_S):
            await begun.wait()
            await ended.wait()
        assert not duty.ours
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
