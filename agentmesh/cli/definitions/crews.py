"""`agentmesh crews list|show|create|update|delete|apply|import`: agents that work on tasks together."""

import pathlib
from typing import Annotated, Any

import typer

from agentmesh.cli.terminal import options, output
from agentmesh.cli.terminal.options import Fields
from agentmesh.cli.terminal.session import URL, AsJson, Url, call
from agentmesh.client import AsyncClient, CrewPlan

_crews = typer.Typer(help="Crews: agents that work on tasks together.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="What people call it, its id, or crews/ID.")]


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(_crews, name="crews")


@_crews.command("list")
def list_crews(
    all_owners: Annotated[bool, typer.Option("--all-owners", help="Operators: those of every owner.")] = False,
    deleted: Annotated[bool, typer.Option("--deleted", help="Also those that are archived.")] = False,
    url: Url = URL,
    as_json: AsJson = False,
) -> None:
    """List crews, newest first."""

    async def work(client: AsyncClient) -> None:
        found = [crew async for crew in client.crews.list(all_owners=all_owners, deleted=deleted)]
        if as_json:
            for crew in found:
                output.as_json(crew)
            return
        rows = [(c.display_name, c.state, c.process, str(len(c.agents)), c.name) for c in found]
        output.table(("NAME", "STATE", "PROCESS", "AGENTS", "ID"), rows)

    call(url, work)


@_crews.command()
def show(name: Name, url: Url = URL, as_json: AsJson = False) -> None:
    """Show a crew and its tasks."""

    async def work(client: AsyncClient) -> None:
        crew = await client.crews.get(name)
        tasks = [task async for task in client.tasks.list(crew.name)]
        (output.as_json if as_json else output.fields_of)(crew)
        for task in tasks:
            (output.as_json if as_json else output.fields_of)(task)

    call(url, work)


def _crew(
    description: Annotated[str | None, typer.Option(help="What it is, at most 2,000 characters.")] = None,
    process: Annotated[
        str | None, typer.Option(help="sequential, or hierarchical: a manager hands the tasks out.")
    ] = None,
    agent: Annotated[list[str] | None, typer.Option("--agent", "-a", help="Slug or id of an agent; repeat it.")] = None,
    manager: Annotated[str | None, typer.Option(help="PROVIDER/MODEL of the manager.")] = None,
    memory: Annotated[bool | None, typer.Option("--memory/--no-memory", help="Whether it remembers.")] = None,
) -> Fields:
    return options.given(description=description, process=process, agents=agent, manager=manager, memory=memory)


@_crews.command()
@options.having(_crew)
def create(
    display_name: Annotated[str, typer.Argument(help="What people call it.")],
    fields: Fields,
    url: Url = URL,
    as_json: AsJson = False,
) -> None:
    """Add a crew of agents that there are.  For one with tasks, write a file and `apply` it."""

    async def work(client: AsyncClient) -> None:
        crew = await client.crews.create(display_name=display_name, **fields)
        if as_json:
            output.as_json(crew)
        else:
            output.say(f"{crew.name} created, {crew.state}")

    call(url, work)


@_crews.command()
@options.having(_crew)
def update(
    name: Name,
    fields: Fields,
    display_name: Annotated[str | None, typer.Option("--name", help="What people call it.")] = None,
    url: Url = URL,
    as_json: AsJson = False,
) -> None:
    """Change what is given of a crew; an empty text clears it."""
    changed: Any = {**fields, **options.given(display_name=display_name)}
    if not changed:
        raise typer.BadParameter("say what to change, such as --process")

    async def work(client: AsyncClient) -> None:
        crew = await client.crews.update(name, **changed)
        if as_json:
            output.as_json(crew)
        else:
            output.say(f"{crew.name} updated, {crew.state}")

    call(url, work)


@_crews.command()
def delete(name: Name, url: Url = URL) -> None:
    """Archive a crew with its tasks; its agents stay."""

    async def work(client: AsyncClient) -> None:
        crew = await client.crews.delete(name)
        output.say(f"{crew.name} archived")

    call(url, work)


@_crews.command()
def apply(
    file: Annotated[pathlib.Path, typer.Argument(help="A crew in YAML: name, agents, tasks.")],
    url: Url = URL,
    as_json: AsJson = False,
) -> None:
    """Make a crew as a file has it: add what is missing, change what differs.  Applied again, it changes nothing."""
    _apply(CrewPlan.parse(options.text_of(file)), url, as_json=as_json)


@_crews.command("import")
def import_crew(
    agents: Annotated[pathlib.Path, typer.Option(help="CrewAI's agents.yaml.")],
    tasks: Annotated[pathlib.Path, typer.Option(help="CrewAI's tasks.yaml.")],
    name: Annotated[str, typer.Option(help="What people call the crew.")] = "Crew",
    model: Annotated[str, typer.Option(help="PROVIDER/MODEL of agents that name no llm.")] = "offline",
    process: Annotated[str, typer.Option(help="sequential or hierarchical.")] = "sequential",
    url: Url = URL,
    as_json: AsJson = False,
) -> None:
    """Make a crew of CrewAI's own two files; what only its Python knows is left out, and told."""
    plan = CrewPlan.parse_crewai(name, options.text_of(agents), options.text_of(tasks), model=model, process=process)
    for left in plan.left_out:
        output.note(f"left out: {left}")
    _apply(plan, url, as_json=as_json)


def _apply(plan: CrewPlan, url: str, *, as_json: bool) -> None:
    async def work(client: AsyncClient) -> None:
        for step in await client.apply(plan):
            if as_json:
                output.as_json(step)
            else:
                output.say(f"{step.name} {step.action}: {step.title}")

    call(url, work)
