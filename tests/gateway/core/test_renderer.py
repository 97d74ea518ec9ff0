"""What may take long is rendered in a process of its own, and shown as text when it takes too long."""

import asyncio
import contextlib
import os
import pathlib
import signal
import sys

import pytest

from gateway.core import render
from gateway.core.renderer import Renderer

DEADLINE_S = 60.0
LONG = "a *word* and\n\n" * 500
PATHOLOGICAL = {
    "markdown": "[" * 150_000,
    "inputs": '{"dict":{"a":[' + '{"k":1},' * 120_000 + "1]}}",
}


async def test_long_texts_are_rendered_as_short_ones() -> None:
    """In their order, beside short ones, in a worker that is there only as long as it is needed."""
    async with Renderer.working() as renderer:
        assert ["<p><em>x</em></p>"] == await renderer.all([("markdown", "*x*")])
        assert 0 == renderer.pid

        shown = await renderer.all(
            [("markdown", LONG), ("text", "<b>"), ("typed", '{"Text":{"body":"x"}}'), ("markdown", LONG)]
        )
        pid = renderer.pid
        assert LONG.count("word") == (await renderer.one("markdown", LONG)).count("<em>word</em>")
        assert pid == renderer.pid

    assert render.from_markdown(LONG) == shown[0] == shown[3]
    assert ["&lt;b&gt;", render.from_typed('{"Text":{"body":"x"}}')] == shown[1:3]
    assert_gone(pid)


@pytest.mark.parametrize("way", PATHOLOGICAL)
async def test_what_takes_too_long_is_shown_as_text(way: str) -> None:
    """Its worker ends, the next text gets another, and who asks for the same again does not wait."""
    async with Renderer.working() as renderer:
        text = PATHOLOGICAL[way]

        assert render.plain(way, text) == await renderer.one(way, text)
        assert 0 == renderer.pid
        assert "<em>word</em>" in await renderer.one("markdown", LONG)
        pid = renderer.pid
        assert render.plain(way, text) == await renderer.one(way, text)
        assert pid == renderer.pid


async def test_deep_html_takes_no_time() -> None:
    """160 kB of it once stopped the gateway for everybody: it is text at a look, and its worker goes on."""
    async with Renderer.working() as renderer:
        shown = await renderer.all([("html", "<div>" * 32_000), ("html", "<b <>" * 32_000)])

        assert renderer.pid
    assert ["<pre>&lt;div&gt;&lt;", "<pre>&lt;b &lt;&gt;"] == [shown[0][:20], shown[1][:19]]


async def test_nobody_waits_for_others_pages() -> None:
    """While the worker is busy, what is long is shown as text, and what is short as ever."""
    renderer = Renderer(turn_s=0.01)
    busy = asyncio.create_task(renderer.one("markdown", PATHOLOGICAL["markdown"]))
    await asyncio.sleep(0)  # it has its turn

    others = await asyncio.gather(*(renderer.one("markdown", f"{LONG}{number}") for number in range(20)))
    short = await renderer.one("markdown", "*x*")

    assert not busy.done()
    assert [render.plain("markdown", f"{LONG}{number}") for number in range(20)] == others
    assert "<p><em>x</em></p>" == short
    await busy


async def test_a_lot_comes_out_as_text() -> None:
    """Of what would be too large as HTML, and of what is too large already."""
    async with Renderer.working() as renderer:
        colours = "\x1b[1ma" * 150_000
        assert "a" * 150_000 == await renderer.one("ansi", colours)
        huge = "x" * (3 * 1024 * 1024)
        assert render.plain("html", huge) == await renderer.one("html", huge)
        shown = await renderer.all([("html", "<b>x</b>" * 100_000)] * 5)
        assert ["<pre>&lt;b"] * 5 == [text[:10] for text in shown]


async def test_a_worker_that_dies_is_replaced() -> None:
    """Whoever was waiting gets text, the next one HTML."""
    async with Renderer.working() as renderer:
        await renderer.one("markdown", LONG)
        os.kill(renderer.pid, signal.SIGKILL)

        first = await renderer.one("markdown", f"{LONG}1")
        second = await renderer.one("markdown", f"{LONG}2")

    assert first in (render.plain("markdown", f"{LONG}1"), render.from_markdown(f"{LONG}1"))
    assert render.from_markdown(f"{LONG}2") == second


async def test_a_caller_that_hangs_up_leaves_no_answer_behind() -> None:
    """The next one gets its own."""
    async with Renderer.working() as renderer:
        gone = asyncio.create_task(renderer.one("markdown", f"{LONG}gone"))
        await asyncio.sleep(0)
        gone.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await gone

        assert render.from_markdown(LONG) == await renderer.one("markdown", LONG)


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
async def test_a_worker_knows_nothing_of_the_mesh(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting of ours is in its environment."""
    monkeypatch.setenv("AGENTMESH_ADMIN_PASSWORD", "secret-secret")
    async with Renderer.working() as renderer:
        await renderer.one("markdown", LONG)

        environment = environment_of(renderer.pid)

    assert b"AGENTMESH" not in environment
    assert b"secret" not in environment


async def test_a_worker_that_nobody_needs_ends() -> None:
    """It costs nothing while nobody looks at pages."""
    renderer = Renderer(idle_s=0.01)
    await renderer.one("markdown", LONG)

    async with asyncio.timeout(DEADLINE_S):
        while renderer.pid:  # noqa: ASYNC110  # there is no event: nobody waits for it
            await asyncio.sleep(0.01)


def environment_of(pid: int) -> bytes:
    """Return what a process was started with."""
    return pathlib.Path(f"/proc/{pid}/environ").read_bytes()


def assert_gone(pid: int) -> None:
    """It has been waited for, too."""
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
