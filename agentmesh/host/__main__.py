"""Start the nursery."""

from agentmesh.host.nursery import main

main()
