"""`python -m agentmesh.supervisor OPTIONS`: the supervisor by itself; OPTIONS are `plan.Options` as a JSON object.

`agentmesh up` becomes this when it has read the command line: what reads it stays out of a process that lives long.
"""

import json
import pathlib
import sys

from agentmesh.supervisor import handing, up
from agentmesh.supervisor.plan import Options

if __name__ == "__main__":
    if not handing.is_clean():
        handing.become("agentmesh.supervisor", *sys.argv[1:])
    options = json.loads(sys.argv[1])
    sys.exit(up.run(Options(**{**options, "data_dir": pathlib.Path(options["data_dir"])}), handing.handed()))
