"""What `agentmesh new` makes: a folder with an app, a test of it, and a page that says what to type."""

import dataclasses

from agentmesh.cli.machine.starters import crew, declared, form, kodosumi, langgraph


@dataclasses.dataclass(frozen=True, slots=True)
class Starter:
    """A template."""

    title: str
    """What it shows, in a few words."""
    app: str
    """`app.py`."""
    test: str
    """`test_app.py`."""
    run: str
    """What one types behind `agentmesh run NAME`."""
    packages: tuple[str, ...] = ()
    """What must be installed beside agentmesh."""


STARTERS = {
    "form": Starter("a form of your own, checked by your code", form.APP, form.TEST, '--topic "the sea"'),
    "declared": Starter(
        "inputs that a pydantic model declares", declared.APP, declared.TEST, '--text "to be or not to be"'
    ),
    "crew": Starter("agents that hand their work on", crew.APP, crew.TEST, '--topic "the sea"'),
    "langgraph": Starter("a graph of LangGraph", langgraph.APP, langgraph.TEST, '--topic "the sea"', ("langgraph",)),
    "kodosumi": Starter("an app as kodosumi has it", kodosumi.APP, kodosumi.TEST, '--name "Ada"'),
}
"""By what `--template` says."""
