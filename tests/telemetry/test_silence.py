"""A collector of which nothing is heard holds up nobody."""

import json
import socket
import subprocess
import sys

import pytest


@pytest.mark.parametrize("listening", [True, False])
def test_a_silent_collector_is_logged_once(listening: bool) -> None:
    """Whether it takes connections or not: what is too much is dropped, and the program ends all the same."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        if listening:
            silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        command = [sys.executable, "-m", "tests.telemetry.silence", url]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    took = json.loads(done.stdout)
    assert {"told_s", "ended_s"} == set(took)
    assert took["ended_s"] < 30  # the SDK by itself takes up to 45 s
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert [("telemetry is not taken", url)] == [(line["event"], line["endpoint"]) for line in lines]
