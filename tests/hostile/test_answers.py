"""What an app answers is too much, or of the wrong sort: that question fails, and nobody else notices."""

import itertools
import json

import pytest
from agentmesh_protos.runner.v1 import host_pb2

from tests.host.stage import DEADLINE_S, stage
from tests.hostile.neighbourhood import Neighbourhood

_numbers = itertools.count(3_000_000)
pytestmark = pytest.mark.asyncio(loop_scope="module")


async def ask(neighbourhood: Neighbourhood, number: int, how: str) -> host_pb2.AskResult:
    """Have the form handler check inputs."""
    asked = host_pb2.Ask(ask_id=number, path="/form", inputs_json=json.dumps({"how": how}), timeout_s=DEADLINE_S)
    neighbourhood.host.say(host_pb2.RunnerMessage(ask=asked))
    found = await neighbourhood.host.until(
        lambda: [a.ask_result for a in neighbourhood.host.answers if a.ask_result.ask_id == number]
    )
    result: host_pb2.AskResult = found[0]
    return result


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("raise", "ValueError: xxx"),
        ("raise inputs error", "the app's answer is larger than 8388608 bytes"),
        ("launch", "inputs take 20000011 bytes, at most 8388608 can be sent"),
        ("answer", "the app's answer is larger than 8388608 bytes"),
        ("deep", "RecursionError"),
        ("nan", "ValueError"),
        ("exit", "SystemExit: 3"),
    ],
)
async def test_a_form_that_answers_too_much(neighbourhood: Neighbourhood, how: str, words: str) -> None:
    """In words that are short."""
    result = await ask(neighbourhood, next(_numbers), how)

    assert not result.launches
    assert words in result.detail
    assert result.ByteSize() < 100_000
    await neighbourhood.assert_unharmed()


@pytest.mark.parametrize("how", ["header", "headers", "body"])
async def test_a_page_that_is_too_much(neighbourhood: Neighbourhood, how: str) -> None:
    """Whole or in parts."""
    for streams in (False, True):
        number = next(_numbers)
        call = host_pb2.Call(call_id=number, method="GET", path=f"/page/{how}", timeout_s=DEADLINE_S, streams=streams)
        neighbourhood.host.say(host_pb2.RunnerMessage(call=call))
        await neighbourhood.host.until(
            lambda n=number: [  # type: ignore[misc]
                a
                for a in neighbourhood.host.answers
                if (a.call_result.call_id == n and a.call_result.error)
                or (a.call_part.call_id == n and (a.call_part.part.HasField("close") or a.call_part.part.data))
            ]
        )
        gone = host_pb2.CallPart(call_id=number)
        gone.part.close.code = 1001
        neighbourhood.host.say(host_pb2.RunnerMessage(call_part=gone))
        await neighbourhood.assert_unharmed()


@pytest.mark.parametrize(
    ("import_path", "words"),
    [
        ("tests.hostile.broken:huge_form", "what the app says of its flows takes 2"),
        ("tests.hostile.broken:huge_error", "ValueError: xxx"),
    ],
)
async def test_an_app_that_says_too_much_of_itself_is_not_loaded(import_path: str, words: str) -> None:
    """And it is told why."""
    async with stage(import_path) as host:
        assert host.loaded is not None
        assert words in host.loaded.error
        assert host.loaded.ByteSize() < 200_000
