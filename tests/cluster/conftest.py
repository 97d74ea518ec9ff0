"""What the tests of clusters share: one Ray of several nodes for all that need one."""

from collections.abc import Iterator

import pytest

from tests.cluster.raylets import Cluster, cluster


@pytest.fixture(scope="session")
def rays() -> Iterator[Cluster]:
    """Run a cluster with one node."""
    with cluster() as found:
        yield found
