"""One replica of the runner as a process, without a registry: `python -m tests.runner.replicas.replica`."""

import asyncio

from meshkit.server import run, until_signal
from meshkit.service import from_environment
from meshkit.telemetry import observability
from services.runner import app
from services.runner.config import Config
from services.runner.peers.memory import MemoryCatalogue, MemoryDefinitions
from services.runner.ports.catalogue import Offer


async def main() -> None:
    """Serve until SIGTERM."""
    config = from_environment(Config)
    observability.configure("runner", config.log_level)
    stopping = asyncio.Event()
    catalogue, definitions = MemoryCatalogue(Offer()), MemoryDefinitions()
    async with app.running(config, catalogue=catalogue, definitions=definitions, stopping=stopping):
        await until_signal(stopping)


if __name__ == "__main__":
    run(main)
