"""Start the nursery, in an environment that may be everybody's."""

import os
import sys

from agentmesh.host.own import environment

if __name__ == "__main__":
    passed = environment.allowed(os.environ)
    if passed != dict(os.environ):  # what we were started with can be read in /proc as long as we run
        command = [sys.executable, *(["-P"] if sys.flags.safe_path else []), "-m", "agentmesh.host", *sys.argv[1:]]
        os.execve(sys.executable, command, passed)
    from agentmesh.host.nursery import main

    main()
