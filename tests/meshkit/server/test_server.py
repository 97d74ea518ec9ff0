"""The frame of every service's process."""

import subprocess
import sys

import pytest

GROWN_KIB_MAX = 10 * 1024
PROGRAM = """
import pathlib, re
import argon2
from meshkit import server

def taken_kib():
    return int(re.search(r"RssAnon:\\s+(\\d+)", pathlib.Path("/proc/self/status").read_text())[1])

async def main():
    hasher = argon2.PasswordHasher(memory_cost=19 * 1024, time_cost=1, parallelism=1)
    before = taken_kib()
    for _ in range(3):
        hasher.hash("secret")
    print(taken_kib() - before)

server.run(main)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the C library is another")
def test_what_a_password_took_is_given_back() -> None:
    """19 MiB a hash: left to itself glibc keeps them from the second one on."""
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=120, check=False)

    assert 0 == done.returncode, done.stderr
    assert int(done.stdout) < GROWN_KIB_MAX
