"""`python -m agentmesh.cli`."""

from agentmesh.cli import main

main()
