"""`agentmesh agents list|show|create|update|delete`: what can be talked to."""

from typing import Annotated, Any

import typer

from agentmesh.cli.terminal import options, output
from agentmesh.cli.terminal.options import Fields
from agentmesh.cli.terminal.session import URL, AsJson, Url, call
from agentmesh.client import AsyncClient, Model

_agents = typer.Typer(
    help="Agents: what a model is told to be, which model it is, and what it may use.", no_args_is_help=True
)

Name = Annotated[str, typer.Argument(help="Slug, id or agents/ID.")]
AllOwners = Annotated[bool, typer.Option("--all-owners", help="Operators: those of every owner.")]
Deleted = Annotated[bool, typer.Option("--deleted", help="Also those that are archived.")]


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(_agents, name="agents")


@_agents.command("list")
def list_agents(
    all_owners: AllOwners = False, deleted: Deleted = False, url: Url = URL, as_json: AsJson = False
) -> None:
    """List agents, newest first."""

    async def work(client: AsyncClient) -> None:
        found = [agent async for agent in client.agents.list(all_owners=all_owners, deleted=deleted)]
        if as_json:
            for agent in found:
                output.as_json(agent)
            return
        rows = [(a.slug, a.state, str(a.model or ""), a.display_name, a.name) for a in found]
        output.table(("SLUG", "STATE", "MODEL", "NAME", "ID"), rows)

    call(url, work)


@_agents.command()
def show(name: Name, url: Url = URL, as_json: AsJson = False) -> None:
    """Show an agent."""

    async def work(client: AsyncClient) -> None:
        (output.as_json if as_json else output.fields_of)(await client.agents.get(name))

    call(url, work)


def _agent(
    slug: Annotated[str | None, typer.Option(help="Its short name; made of the other unless given.")] = None,
    description: Annotated[str | None, typer.Option(help="What it is, at most 2,000 characters.")] = None,
    role: Annotated[str | None, typer.Option(help="What it does in a crew.")] = None,
    goal: Annotated[str | None, typer.Option(help="What it is after.")] = None,
    backstory: Annotated[str | None, typer.Option(help="What made it so.")] = None,
    prompt: Annotated[
        str | None, typer.Option(help="What it is told before all else, in the place of role, goal and backstory.")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option("--model", "-m", help="PROVIDER/MODEL, such as openai/gpt-4o; offline needs no network."),
    ] = None,
    endpoint: Annotated[str | None, typer.Option(help="URL of an OpenAI-compatible endpoint of that model.")] = None,
    api_key: Annotated[
        str | None,
        typer.Option(
            "--api-key",
            help="Key for the model's provider; better in the environment.",
            envvar="AGENTMESH_PROVIDER_KEY",
        ),
    ] = None,
    tool: Annotated[
        list[str] | None, typer.Option("--tool", "-t", help="Name of a tool it may use; repeat it.")
    ] = None,
    memory: Annotated[bool | None, typer.Option("--memory/--no-memory", help="Whether it remembers.")] = None,
    concurrency: Annotated[int | None, typer.Option(help="How many of its jobs run at a time.")] = None,
) -> Fields:
    return options.given(
        slug=slug,
        description=description,
        role=role,
        goal=goal,
        backstory=backstory,
        system_prompt=prompt,
        model=_model(model, endpoint),
        api_key=api_key,
        tools=tool,
        memory=memory,
        concurrency_limit=concurrency,
    )


@_agents.command()
@options.having(_agent)
def create(
    display_name: Annotated[str, typer.Argument(help="What people call it.")],
    fields: Fields,
    url: Url = URL,
    as_json: AsJson = False,
) -> None:
    """Add an agent.  Without a model it is a draft."""

    async def work(client: AsyncClient) -> None:
        agent = await client.agents.create(display_name=display_name, **fields)
        if as_json:
            output.as_json(agent)
        else:
            output.say(f"{agent.name} created as {agent.slug}, {agent.state}")

    call(url, work)


@_agents.command()
@options.having(_agent)
def update(
    name: Name,
    fields: Fields,
    display_name: Annotated[str | None, typer.Option("--name", help="What people call it.")] = None,
    state: Annotated[str | None, typer.Option(help="active, paused or draft.")] = None,
    url: Url = URL,
    as_json: AsJson = False,
) -> None:
    """Change what is given of an agent; an empty text clears it."""
    changed: Any = {**fields, **options.given(display_name=display_name, state=state)}
    if not changed:
        raise typer.BadParameter("say what to change, such as --goal")

    async def work(client: AsyncClient) -> None:
        agent = await client.agents.update(name, **changed)
        if as_json:
            output.as_json(agent)
        else:
            output.say(f"{agent.name} updated, {agent.state}")

    call(url, work)


@_agents.command()
def delete(name: Name, url: Url = URL) -> None:
    """Archive an agent: it cannot be run any more."""

    async def work(client: AsyncClient) -> None:
        agent = await client.agents.delete(name)
        output.say(f"{agent.name} archived; bring it back with: agentmesh agents undelete {agent.name}")

    call(url, work)


@_agents.command()
def undelete(name: Annotated[str, typer.Argument(help="Id or agents/ID.")], url: Url = URL) -> None:
    """Bring an archived agent back, paused."""

    async def work(client: AsyncClient) -> None:
        agent = await client.agents.undelete(name)
        output.say(
            f"{agent.name} is back, {agent.state}; start it with: agentmesh agents update {agent.slug} --state active"
        )

    call(url, work)


def _model(name: str | None, endpoint: str | None) -> Model | None:
    """Return the model that the options name."""
    if name is None:
        if endpoint is not None:
            raise typer.BadParameter("--endpoint is of a --model: give both")
        return None
    parsed = Model.parse(name)
    if endpoint is None:
        return parsed
    return Model(provider=parsed.provider, model=parsed.model, kind="custom", endpoint=endpoint)
