"""Start the runner."""

from meshkit.server import run
from services.runner.app import main

run(main)
