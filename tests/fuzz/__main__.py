"""`python -m tests.fuzz`: send nonsense to a mesh, print what was seen; the exit code is 1 if anything broke."""

import argparse
import asyncio
import pathlib
import secrets
import tempfile

from tests.fuzz.campaign import run


def main() -> int:
    """Return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1_000_000), help="which nonsense; default: any")
    parser.add_argument("--calls", type=int, default=20_000, help="to each door")
    arguments = parser.parse_args()
    print(f"seed {arguments.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="agentmesh-fuzz-") as folder:
        doors = asyncio.run(run(pathlib.Path(folder), arguments.seed, arguments.calls))
    for door, seen in doors.items():
        print(f"{door}: {seen}")
    return 1 if any(seen.faults for seen in doors.values()) else 0


if __name__ == "__main__":
    raise SystemExit(main())
