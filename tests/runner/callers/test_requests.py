"""The same request, however often and however concurrently, gives one answer."""

import asyncio

import pytest

from meshkit.errors import Invalid
from meshkit.idempotency import ID_CHARS_MAX
from services.runner.callers.requests import Requests
from services.runner.domain import Birth, Job, State
from services.runner.stores.memory import MemoryStore


class Desk:
    """Makes a job per request, unless the request was made before."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.requests = Requests(self.store, lambda: 100.0)
        self.made = 0

    async def ask(self, request_id: str, body: str = "body", owner: str = "users/a") -> str:
        """Return the id of the job that the request made."""
        request = self.requests.made(owner, request_id, body)
        async with self.requests.one_at_a_time(request):
            if request is not None and (known := await self.requests.known(request)) is not None:
                return known.decode()
            await asyncio.sleep(0)  # others get their turn
            self.made += 1
            job = Job(
                job_id=f"{self.made:024x}",
                flow="flows/demo",
                owner=owner,
                state=State.QUEUED,
                created_at=1.0,
                updated_at=1.0,
            )
            if request is not None:
                request = request.answered(job.job_id.encode())
            await self.store.create([Birth(job=job)], request)
            return job.job_id


async def test_thirty_at_once_get_one_answer() -> None:
    """The work is done once, and nobody is refused."""
    desk = Desk()

    answers = await asyncio.gather(*(desk.ask("r") for _ in range(30)))

    assert (1, 1) == (len(set(answers)), desk.made)


async def test_requests_of_different_owners_are_different() -> None:
    """An id is its owner's."""
    desk = Desk()

    answers = await asyncio.gather(desk.ask("r"), desk.ask("r", owner="users/b"), desk.ask("other"))

    assert 3 == len(set(answers))


async def test_without_an_id_each_is_new() -> None:
    """Nothing is remembered of it."""
    desk = Desk()

    answers = [await desk.ask(""), await desk.ask("")]

    assert 2 == len(set(answers))


async def test_an_id_with_another_body_is_refused() -> None:
    """The error names the field and the remedy."""
    desk = Desk()
    await desk.ask("r")

    with pytest.raises(Invalid, match="take a new one") as caught:
        await desk.ask("r", "another body")

    assert ["request_id"] == list(caught.value.fields)


async def test_an_id_that_is_too_long_is_refused() -> None:
    """Before anything is done."""
    desk = Desk()

    with pytest.raises(Invalid) as caught:
        await desk.ask("r" * (ID_CHARS_MAX + 1))

    assert (["request_id"], 0) == (list(caught.value.fields), desk.made)


async def test_a_request_that_failed_may_be_made_again() -> None:
    """Only what was done is remembered."""
    desk = Desk()
    request = desk.requests.made("users/a", "r", "body")

    with pytest.raises(RuntimeError):
        async with desk.requests.one_at_a_time(request):
            raise RuntimeError

    assert await desk.ask("r") == f"{1:024x}"
