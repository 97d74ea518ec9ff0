"""A Ray cluster of several nodes on this machine, for the length of a block: real processes, which can be killed.

`python -m tests.cluster.raylets` keeps it, in a process of its own, as Ray's threads and signals are nothing for the
tests' own; what it is told, and answers, are lines of JSON.  Ray prints whatever it likes, whenever it likes: what it
takes for its standard output is where errors go.
"""

import contextlib
import json
import os
import secrets
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from typing import Any

MEMORY_BYTES = 80 * 1024 * 1024


class Cluster:
    """A cluster that runs."""

    def __init__(self, process: "subprocess.Popen[str]", token: str, folder: str) -> None:
        self._process = process
        self._asking = threading.Lock()  # who injects faults asks from several threads
        self.token = token
        self.folder = folder
        """Where Ray keeps what it says to all of this machine."""
        self.address = str(self._hear()["address"])

    @property
    def pid(self) -> int:
        """The process that has started all others of the cluster."""
        return self._process.pid

    @property
    def settings(self) -> dict[str, str]:
        """What a mesh is told of it: to have no actors ready, as most tests need none."""
        return {"AGENTMESH_RAY_ADDRESS": self.address, "AGENTMESH_RAY_TOKEN": self.token, "AGENTMESH_RAY_SPARES": "0"}

    def add(self, **resources: float) -> str:
        """Add a node with so much of each resource; return its name."""
        return str(self._ask(add=resources)["node"])

    def kill(self, node: str) -> None:
        """Kill a node's processes."""
        self._ask(kill=node)

    def lose_head(self) -> None:
        """Kill the processes of the first node, on which the cluster's own state is."""
        self._ask(lose=True)

    def begin_head(self) -> None:
        """Start a first node anew, at the same address, which knows nothing of the one before."""
        self._ask(begin=True)

    def actors(self) -> dict[str, str]:
        """Return where the actors live that are alive, by name."""
        found: dict[str, str] = self._ask(actors=True)["actors"]
        return found

    def _ask(self, **what: Any) -> dict[str, Any]:
        assert self._process.stdin is not None
        with self._asking:
            self._process.stdin.write(json.dumps(what) + "\n")
            self._process.stdin.flush()
            return self._hear()

    def _hear(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the cluster has ended"
        heard: dict[str, Any] = json.loads(line)
        return heard


@contextlib.contextmanager
def cluster() -> Iterator[Cluster]:
    """Run a cluster with one node for the length of the block."""
    token = secrets.token_hex(32)
    with tempfile.TemporaryDirectory(prefix="am-ray-", ignore_cleanup_errors=True) as folder:
        env = {
            **os.environ,
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": token,
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_TMPDIR": folder,
        }
        # A node that is killed is known to be gone in seconds, not in half a minute.
        env |= {"RAY_health_check_period_ms": "500", "RAY_health_check_failure_threshold": "3"}
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.cluster.raylets"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=env,
        )
        try:
            yield Cluster(process, token, folder)
        finally:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.close()
            process.wait(60)
            process.stdout.close()


def main() -> None:
    """Do as the lines say."""
    with os.fdopen(os.dup(1), "w") as answers:
        os.dup2(2, 1)

        def answer(**what: Any) -> None:
            answers.write(json.dumps(what) + "\n")
            answers.flush()

        _serve(answer)


def _serve(answer: Callable[..., None]) -> None:
    import ray
    from ray.cluster_utils import Cluster as Nodes

    args: dict[str, Any] = {"object_store_memory": MEMORY_BYTES, "include_dashboard": False}
    of_head: dict[str, Any] = {**args, "num_cpus": 4}
    nodes = Nodes(initialize_head=True, head_node_args=of_head)
    of_head["gcs_server_port"] = int(nodes.address.rpartition(":")[2])
    known: dict[str, Any] = {}
    answer(address=nodes.address)
    ray.init(nodes.address, log_to_driver=False)
    for line in sys.stdin:
        match json.loads(line):
            case {"add": resources}:
                node = nodes.add_node(num_cpus=2, resources=resources, **args)
                known[node.node_id] = node
                answer(node=node.node_id)
            case {"kill": name}:
                nodes.remove_node(known.pop(name), allow_graceful=False)
                answer()
            case {"lose": _}:
                ray.shutdown()
                head: Any = nodes.head_node
                nodes.remove_node(head, allow_graceful=False)
                answer()
            case {"begin": _}:
                nodes.add_node(**of_head)
                ray.init(nodes.address, log_to_driver=False)
                answer()
            case {"actors": _}:
                found = ray.util.list_named_actors(all_namespaces=True)
                answer(actors={each["name"]: each["namespace"] for each in found})
    ray.shutdown()
    nodes.shutdown()


if __name__ == "__main__":
    main()
