"""How long a mesh takes to be there, and how much memory it holds when idle."""

import time

from agentmesh.testing import Mesh, running_mesh
from benchmarks import machine
from benchmarks.figures import Figure, median

RUNS = 3
BOOTED = {
    "form-example": "examples.form_example.app:fast_app",
    "jkx": "examples.jkx.app:fast_app2",
    "prime": "examples.prime.app:fast_app",
    "sumi-test": "examples.sumi_test.app:fast_app",
}
_IDLE_S = 5.0


def measure() -> list[Figure]:
    """Start fresh meshes without examples, and boot four exposes on each."""
    ready_s, boot_s = [], []
    for _ in range(RUNS):
        started = time.perf_counter()
        with running_mesh() as mesh:
            ready_s.append(time.perf_counter() - started)
            boot_s.append(_boot(mesh))
    note = f"median of {RUNS}, each with an empty data directory"
    return [
        Figure(name="agentmesh up to ready", value=median(ready_s), unit="s", target=5, note=note),
        Figure(name="boot of four exposes", value=median(boot_s), unit="s", target=5, note=f"median of {RUNS}"),
    ]


def _boot(mesh: Mesh) -> float:
    for name, import_path in BOOTED.items():
        mesh.client.save_expose(name, f"import_path: {import_path}\n")
    started = time.perf_counter()
    trouble = [step.message for step in mesh.client.boot() if step.kind in ("error", "warning")]
    took_s = time.perf_counter() - started
    if trouble:
        raise RuntimeError(f"the boot had trouble: {trouble}")
    return took_s


def memory(mesh: Mesh) -> list[Figure]:
    """Add up the memory of every process of an idle mesh, shared pages by their share (PSS)."""
    time.sleep(_IDLE_S)  # not waiting for a state: idle is what is measured
    used_kb = machine.memory_kb(mesh.process.pid)
    top = ", ".join(f"{name} {kilobytes // 1024}" for name, kilobytes in used_kb.most_common())
    return [
        Figure(
            name="idle memory, examples booted",
            value=used_kb.total() / 1024,
            unit="MB",
            target=350,
            note=f"PSS of {len(machine.tree(mesh.process.pid))} processes: {top}",
        )
    ]
