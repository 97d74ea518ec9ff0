"""What holds for every test.

hypothesis does not measure time, which tells more of the machine than of the code; it tries the same examples in every
run, so that a change is judged by what it changed, and new ones in `make properties`.  Ctrl-C reaches what tests start,
also when they themselves were started where it is ignored, as a script's `&` does.  A mesh of a test has patience with
hosts and apps, as the machine may have much else to do.
"""

import os
import signal

import hypothesis
import pytest

from tests.servers import s3
from tests.servers.fixtures import postgres as postgres
from tests.servers.fixtures import postgres_server as postgres_server

hypothesis.settings.register_profile("mesh", deadline=None, derandomize=True)
hypothesis.settings.register_profile("search", deadline=None, max_examples=5000)
hypothesis.settings.load_profile("mesh")  # another by --hypothesis-profile

os.environ.setdefault("AGENTMESH_APP_PATIENCE_S", "30")  # less than the gateway waits: it is told, and may try again
for name in ("AGENTMESH_LEASE_S", "AGENTMESH_RUNNER_PATIENCE_S"):
    os.environ.setdefault(name, "60")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a child inherits what is ignored
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what `make buckets` runs, unless it does."""
    if s3.IS_THERE:
        return
    beside = [item for item in items if "bucket" in getattr(item, "fixturenames", ())]
    if beside:
        config.hook.pytest_deselected(items=beside)
        items[:] = [item for item in items if item not in beside]
