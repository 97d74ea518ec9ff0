"""Flows that the benchmarks run: each does as little as it can, so what it costs is what the mesh costs."""

import pathlib

ROOT = pathlib.Path(__file__).parents[2]
"""Where a mesh must be started to find these."""
FORM = "bench-form"
"""An echo behind a form handler."""
DECLARED = "bench-declared"
"""An echo that declares its inputs."""
SHARED = "bench-shared"
"""The same, with all its jobs in one process, and flows to look at that."""
LOUD = "/loud"
"""Its flow that emits as many results as it is told to."""
ASK = "/ask"
"""Its flow that waits for a human."""
WHO = "/who"
"""Its flow that says which process it runs in."""
IMPORT_PATHS = {
    FORM: "benchmarks.apps.form:app",
    DECLARED: "benchmarks.apps.declared:app",
    SHARED: "benchmarks.apps.shared:app",
}
"""By the exposes above."""
