"""`agentmesh tools list|show|create|update|delete`: what agents may use."""

from typing import Annotated, Any

import typer

from agentmesh.cli.terminal import options, output
from agentmesh.cli.terminal.options import Fields
from agentmesh.cli.terminal.session import URL, AsJson, Url, call
from agentmesh.client import AsyncClient

_tools = typer.Typer(help="Tools: what agents may use.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="Name, id or tools/ID.")]


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(_tools, name="tools")


@_tools.command("list")
def list_tools(
    all_owners: Annotated[bool, typer.Option("--all-owners", help="Operators: those of every owner.")] = False,
    deleted: Annotated[bool, typer.Option("--deleted", help="Also those that are archived.")] = False,
    url: Url = URL,
    as_json: AsJson = False,
) -> None:
    """List tools: those that come with the mesh first."""

    async def work(client: AsyncClient) -> None:
        found = [tool async for tool in client.tools.list(all_owners=all_owners, deleted=deleted)]
        if as_json:
            for tool in found:
                output.as_json(tool)
            return
        rows = [
            (t.display_name, t.kind, t.category, "" if t.enabled else "off", t.endpoint or t.description) for t in found
        ]
        output.table(("NAME", "KIND", "CATEGORY", "", "WHERE"), rows)

    call(url, work)


@_tools.command()
def show(name: Name, url: Url = URL, as_json: AsJson = False) -> None:
    """Show a tool."""

    async def work(client: AsyncClient) -> None:
        (output.as_json if as_json else output.fields_of)(await client.tools.get(name))

    call(url, work)


def _tool(
    description: Annotated[str | None, typer.Option(help="What it does, for models to read.")] = None,
    category: Annotated[str | None, typer.Option(help="research, data and so on.")] = None,
    token: Annotated[
        str | None,
        typer.Option("--token", help="Sent as bearer; better in the environment.", envvar="AGENTMESH_TOOL_TOKEN"),
    ] = None,
    schema: Annotated[str | None, typer.Option(help="JSON Schema of its arguments.")] = None,
    approval: Annotated[
        bool | None, typer.Option("--approval/--no-approval", help="Whether a human must approve each call.")
    ] = None,
) -> Fields:
    return options.given(
        description=description,
        category=category,
        auth="bearer" if token else None,
        auth_token=token,
        input_schema_json=schema,
        needs_approval=approval,
    )


@_tools.command()
@options.having(_tool)
def create(
    name: Annotated[str, typer.Argument(help="What models call it: letters, digits, _ and -.")],
    endpoint: Annotated[str, typer.Argument(help="Absolute http or https URL.")],
    fields: Fields,
    mcp: Annotated[bool, typer.Option("--mcp", help="It is an MCP server: every tool of it.")] = False,
    url: Url = URL,
    as_json: AsJson = False,
) -> None:
    """Add a tool: a POST of the arguments as JSON to a URL, or an MCP server."""

    async def work(client: AsyncClient) -> None:
        kind = "mcp" if mcp else "http"
        tool = await client.tools.create(display_name=name, endpoint=endpoint, kind=kind, **fields)
        if as_json:
            output.as_json(tool)
        else:
            output.say(f"{tool.name} created as {tool.display_name}")

    call(url, work)


@_tools.command()
@options.having(_tool)
def update(
    name: Name,
    fields: Fields,
    display_name: Annotated[str | None, typer.Option("--name", help="What models call it.")] = None,
    endpoint: Annotated[str | None, typer.Option(help="Absolute http or https URL.")] = None,
    enabled: Annotated[bool | None, typer.Option("--on/--off", help="Whether agents may use it.")] = None,
    url: Url = URL,
    as_json: AsJson = False,
) -> None:
    """Change what is given of a tool; an empty text clears it."""
    changed: Any = {**fields, **options.given(display_name=display_name, endpoint=endpoint, enabled=enabled)}
    if not changed:
        raise typer.BadParameter("say what to change, such as --endpoint")

    async def work(client: AsyncClient) -> None:
        tool = await client.tools.update(name, **changed)
        if as_json:
            output.as_json(tool)
        else:
            output.say(f"{tool.name} updated")

    call(url, work)


@_tools.command()
def delete(name: Name, url: Url = URL) -> None:
    """Archive a tool, and forget its token."""

    async def work(client: AsyncClient) -> None:
        tool = await client.tools.delete(name)
        output.say(f"{tool.name} archived")

    call(url, work)
