"""A flow whose child prints more than any process of the mesh may hold."""

import subprocess
import sys

import pydantic

from agentmesh import ServeAPI

app = ServeAPI()


class Loud(pydantic.BaseModel):
    """How much to print."""

    megabytes: int


@app.flow("/", summary="Loud")
def print_much(inputs: Loud) -> dict[str, int]:
    """Have a child print lines of a kilobyte, as fast as it is read."""
    lines = "import sys\nfor _ in range(1000 * int(sys.argv[1])): print('x' * 999)"
    subprocess.run([sys.executable, "-c", lines, str(inputs.megabytes)], check=True)
    return {"megabytes": inputs.megabytes}
