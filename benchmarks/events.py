"""How fast a job's events reach a client that reads them as server-sent events."""

import json
import re
import time

from benchmarks.figures import Figure, median, percentile
from benchmarks.http import Failed, Http

LAUNCH = "/-/localhost/8005/throughput/-/"
EVENTS = 50_000
RATE = 100
SECONDS = 10

# `event: result`, then `data: {timestamp}:{payload}`
_RESULT = re.compile(rb"event: result\r?\ndata: [0-9.]+:(\{.*?\})\r?\n")


async def throughput(url: str, key: str) -> list[Figure]:
    """Read one job that emits as fast as it can."""
    started = time.perf_counter()
    fid = await _start(url, key, {"events": EVENTS, "rate": 0, "size": 0})
    numbers: list[float] = []
    rest = b""
    async with Http(url, key) as http:
        async for chunk in http.stream(f"/outputs/stream/{fid}"):
            rest += chunk
            end = 0
            for match in _RESULT.finditer(rest):
                numbers.append(_payload(match)["seq"])
                end = match.end()
            rest = rest[end:]
            if len(numbers) >= EVENTS:
                break
    took_s = time.perf_counter() - started
    if numbers != list(range(1, EVENTS + 1)):
        raise Failed(f"{len(numbers)} of {EVENTS} events came, or not in order")
    note = f"one job, {EVENTS} events, from the POST to the last event at the client; none missing"
    rate = EVENTS / took_s
    return [Figure(name="events of one job", value=rate, unit="1/s", target=10_000, at_least=True, note=note)]


async def latency(url: str, key: str) -> list[Figure]:
    """Read one job that emits at a steady rate; compare the time in each event with the time it came."""
    fid = await _start(url, key, {"events": RATE * SECONDS, "rate": RATE, "size": 0})
    took_ms: list[float] = []
    rest = b""
    async with Http(url, key) as http:
        async for chunk in http.stream(f"/outputs/stream/{fid}"):
            now = time.time()
            rest += chunk
            end = 0
            for match in _RESULT.finditer(rest):
                took_ms.append((now - _payload(match)["time"]) * 1000)
                end = match.end()
            rest = rest[end:]
    steady = took_ms[RATE:]  # what was emitted before the stream was open is late by that much
    if len(steady) < RATE * (SECONDS - 2):
        raise Failed(f"{len(took_ms)} of {RATE * SECONDS} events came")
    note = f"{RATE} events/s for {SECONDS} s, the first second left out"
    return [
        Figure(name="emit to client p50", value=median(steady), unit="ms", target=25, note=note),
        Figure(name="emit to client p99", value=percentile(steady, 99), unit="ms", note=note),
    ]


async def _start(url: str, key: str, inputs: dict[str, int]) -> str:
    async with Http(url, key) as http:
        answer = await http.json("POST", LAUNCH, inputs)
    if "result" not in answer:
        raise Failed(f"the throughput example refused {inputs}: {answer.get('errors')}")
    return str(answer["result"])


def _payload(match: re.Match[bytes]) -> dict[str, float]:
    value = json.loads(match[1])
    return dict(value.get("dict", value))
