"""An app for the tests of steps and retries: flows that leave a line in a file for each thing that they do."""

import asyncio
import base64
import os
import pathlib
import signal
import subprocess
import sys
import time
from typing import Any

import pydantic

from agentmesh import Budget, Retries, ServeAPI, Tracer
from agentmesh import forms as F  # noqa: N812

app = ServeAPI()


class Order(pydantic.BaseModel):
    """What a flow shall do."""

    path: str
    """Of a file: a line for each thing that is done."""
    gate: str = ""
    """A file: what waits goes on when it is there."""
    end: str = ""
    secret: str = pydantic.Field(default="", json_schema_extra={"format": "password"})


def _do(order: Order, what: str, result: Any = None) -> Any:
    with pathlib.Path(order.path).open("a") as file:
        file.write(f"{what}\n")
    return what if result is None else result


def _gate(order: Order) -> None:
    while not pathlib.Path(order.gate).exists():
        time.sleep(0.02)


def _end(order: Order, attempt: int) -> None:
    match order.end:
        case "kill" if attempt == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        case "raise":
            raise ConnectionError("no line")
        case "once" if attempt == 1:
            raise ConnectionResetError("no line")
        case "value":
            raise ValueError("wrong")


def _attempt(order: Order) -> int:
    _do(order, "begun")
    return pathlib.Path(order.path).read_text().splitlines().count("begun")


@app.flow("/", retries=Retries(attempts=3, pause_s=0.01, pause_s_max=0.02, on=(OSError, "WorkerLost")))
async def work(inputs: Order, tracer: Tracer) -> Any:
    """Take two steps one after the other and two at once, end as told, and take one more."""
    attempt = _attempt(inputs)
    first = await tracer.step("first", _do, inputs, "first", {"secret": inputs.secret})
    second = await tracer.step("second", _do, inputs, "second")
    both = await asyncio.gather(*(tracer.step("side", _do, inputs, name) for name in ("a", "b")))
    if inputs.gate and attempt == 1:
        await tracer.debug("waits")
        await asyncio.to_thread(_gate, inputs)
    _end(inputs, attempt)
    last = await tracer.step("last", _do, inputs, f"last {attempt}")
    return {"same": first["secret"] == inputs.secret, "steps": [second, *both, last]}


@app.flow("/sync", retries=2)
def work_in_a_thread(inputs: Order, tracer: Tracer) -> Any:
    """The same of code that is not async."""
    attempt = _attempt(inputs)
    first = tracer.step_sync("first", _do, inputs, "first")
    _end(inputs, attempt)
    return [first, tracer.step_sync("last", _do, inputs, f"last {attempt}")]


@app.flow("/told", retries=2)
async def told(inputs: Order, tracer: Tracer) -> Any:
    """Take a step with a secret in its name, and in its result as a number and in another form."""
    attempt = _attempt(inputs)
    result = [int(inputs.secret), base64.b64encode(inputs.secret.encode()).decode()]
    first = await tracer.step(f"sign in with {inputs.secret}", _do, inputs, "first", result)
    _end(inputs, attempt)
    return {"same": first == result}


@app.flow("/moody", retries=2)
async def moody(inputs: Order, tracer: Tracer) -> Any:
    """Take another step in another attempt."""
    attempt = _attempt(inputs)
    await tracer.step(f"step {attempt}", _do, inputs, "done")
    _end(inputs, attempt)


@app.flow("/slow", deadline_s=0.5, isolation="process")
async def slow(inputs: Order, tracer: Tracer) -> Any:
    """Take longer than it may, and do not listen."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    await tracer.debug(str(os.getpid()))
    time.sleep(600)


@app.flow("/greedy", budget=Budget(tokens=100, log_bytes=100_000))
async def greedy(inputs: Order, tracer: Tracer) -> Any:
    """Consume more than it may."""
    while True:
        if inputs.end == "tokens":
            await tracer.usage(30, 10)
        else:
            await tracer.debug("x" * 10_000)
        await asyncio.sleep(0.01)


@app.lock("sure")
def sure() -> F.Model:
    """Ask for a word."""
    return F.Model(F.InputText(label="Word", name="word"))


@app.flow("/asking", park_after_s=0.05)
async def asking(inputs: Order, tracer: Tracer) -> Any:
    """Take a step, ask twice, and take another step."""
    _attempt(inputs)
    first = await tracer.step("first", _do, inputs, f"first {os.getpid()}")
    one = await tracer.lock("sure", {"number": 1}, park=True)
    await tracer.step("between", _do, inputs, "between")
    two = await tracer.lock("sure", {"number": 2})
    return {"words": [first, one["word"], two["word"]]}


@app.flow("/busy")
async def busy(inputs: Order, tracer: Tracer) -> Any:
    """Ask, with a step beside it that takes a while."""
    _attempt(inputs)
    beside = asyncio.create_task(tracer.step("beside", _gate, inputs))
    await asyncio.sleep(0)  # it has begun
    answer = await tracer.lock("sure", park=True)
    await beside
    return answer["word"]


@app.flow("/ticking")
async def ticking(inputs: Order, tracer: Tracer) -> Any:
    """Leave lines behind until it may end, by a process in a session of its own whose parent has gone, too."""
    code = f"import time\nwhile True:\n    open({inputs.path!r}, 'a').write('child\\n')\n    time.sleep(0.005)"
    if inputs.end == "child":
        script = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {code!r}], start_new_session=True)"
        await asyncio.to_thread(subprocess.run, [sys.executable, "-c", script], check=True)
    gate = pathlib.Path(inputs.gate)
    while not await asyncio.to_thread(gate.exists):
        _do(inputs, "tick")
        await tracer.debug("tick")
        await asyncio.sleep(0.005)
    return "ended"
