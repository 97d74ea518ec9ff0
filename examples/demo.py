"""`make demo`: a mesh with the examples, one real job streamed to its end, and the mesh ended again.

Exit code 0 when the job succeeded.  Everything happens in a temporary folder and on a free port.
"""

import sys
import time

from rich.console import Console

from agentmesh.cli.terminal import output
from agentmesh.client import MeshError
from agentmesh.testing import Mesh, MeshDidNotStart, running_mesh

FLOW = "hymn"
INPUTS = {"topic": "a mesh of small services"}
JOB_WITHIN_S = 60.0

console = Console(highlight=False)


def main() -> int:
    """Run the demo; return the exit code."""
    console.rule("agentmesh up --examples")
    started = time.monotonic()
    try:
        with running_mesh(examples=True) as mesh:
            console.print(f"ready at {mesh.url} after {time.monotonic() - started:.1f} s")
            code = _tour(mesh)
            console.rule("the mesh ends")
    except (MeshDidNotStart, MeshError, TimeoutError) as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    code = code or mesh.process.returncode
    console.print("ended, nothing left behind" if code == 0 else f"ended with exit code {code}")
    return code


def _tour(mesh: Mesh) -> int:
    console.rule("flows")
    output.table(("FLOW", "SUMMARY"), [(flow.name, flow.summary) for flow in mesh.client.flows()])
    console.rule(f"run {FLOW}")
    deadline = time.monotonic() + JOB_WITHIN_S
    job = mesh.client.create_job(FLOW, INPUTS)
    for event in mesh.client.watch(job.name):
        if event.kind != "final":  # comes again as the result
            output.event(event)
        if time.monotonic() > deadline:
            mesh.client.cancel(job.name)
    console.rule("result")
    job = mesh.client.job(job.name)
    output.outcome(job)
    return 0 if job.succeeded else 1


if __name__ == "__main__":
    sys.exit(main())
