"""A job's log, across restarts of the runner."""

import itertools

import grpc
import pytest

from gateway.core import joblog
from meshkit.errors import Invalid
from tests.gateway.watching import Call, batch, calls, event, no, yes


async def test_a_stream_takes_up_where_the_runner_broke_off() -> None:
    """After a restart of the runner each event comes once, and every call is closed."""
    planned = [
        Call(batch(event(3, "debug", "a"), event(4, "debug", "b")), end=grpc.StatusCode.UNAVAILABLE),
        Call(end=grpc.StatusCode.UNAVAILABLE),
        Call(batch(), batch(event(5, "debug", "c"))),
        Call(batch(event(6, "status", "failed"))),
    ]
    watch, asked = calls(*planned)
    batches = [events async for events in joblog.resumed(watch, no, 2)]
    assert [item.seq for events in batches for item in events] == [3, 4, 5, 6]
    assert asked == [2, 4, 4, 5]
    assert all(call.cancelled for call in planned)


async def test_a_stream_without_a_rest_ends() -> None:
    """Resumed behind the terminal event there is nothing to come, and nothing to wait for."""
    watch, asked = calls(Call())
    assert [events async for events in joblog.resumed(watch, yes, 9)] == []
    assert asked == [9]


async def test_a_runner_that_stays_away_is_given_up() -> None:
    """After a while without the runner the stream breaks, so that the client can come back by itself."""
    lost = (Call(end=grpc.StatusCode.UNAVAILABLE) for _ in itertools.count())

    def watch(after_seq: int) -> Call:
        return next(lost) if after_seq else Call(batch(event(1, "debug", "a")), end=grpc.StatusCode.UNAVAILABLE)

    batches = joblog.resumed(watch, no, 0, give_up_s=0.01)
    await anext(batches)
    with pytest.raises(grpc.aio.AioRpcError):
        await anext(batches)


@pytest.mark.parametrize(("text", "seq"), [("", 0), ("0", 0), ("12", 12)])
def test_a_client_says_where_it_is(text: str, seq: int) -> None:
    """By the number of the last event it has; nothing is the beginning."""
    assert seq == joblog.seq(text, "after_seq")


@pytest.mark.parametrize("text", ["x", "-1", "1.5", "²", "9" * 19])
def test_what_is_no_number_is_refused_by_its_name(text: str) -> None:
    """The field as the client sent it."""
    with pytest.raises(Invalid) as caught:
        joblog.seq(text, "after_seq")

    assert ["after_seq"] == list(caught.value.fields)
