"""`agentmesh schedules list|show|create|update|pause|resume|trigger|history|delete`: jobs that start by the clock."""

import datetime
from typing import Annotated, Any

import typer

from agentmesh.cli.terminal import options, output
from agentmesh.cli.terminal.options import Fields, json_of
from agentmesh.cli.terminal.session import URL, AsJson, Url, call
from agentmesh.client import AsyncClient, Firing

_schedules = typer.Typer(help="Schedules: jobs that are started when it is time.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="Id or schedules/ID.")]


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(_schedules, name="schedules")


@_schedules.command("list")
def list_schedules(
    all_owners: Annotated[bool, typer.Option("--all-owners", help="Operators: those of every owner.")] = False,
    url: Url = URL,
    as_json: AsJson = False,
) -> None:
    """List schedules, newest first."""

    async def work(client: AsyncClient) -> None:
        found = [each async for each in client.schedules.list(all_owners=all_owners)]
        if as_json:
            for each in found:
                output.as_json(each)
            return
        rows = [
            (
                each.display_name,
                each.target,
                each.cron or output.moment(each.run_time),
                each.state,
                output.moment(each.next_fire_time),
                each.name,
            )
            for each in found
        ]
        output.table(("NAME", "TARGET", "WHEN", "STATE", "NEXT", "ID"), rows)

    call(url, work)


@_schedules.command()
def show(name: Name, url: Url = URL, as_json: AsJson = False) -> None:
    """Show a schedule."""

    async def work(client: AsyncClient) -> None:
        (output.as_json if as_json else output.fields_of)(await client.schedules.get(name))

    call(url, work)


def _when(
    cron: Annotated[
        str | None, typer.Option(help="Minute, hour, day of month, month, day of week: '30 7 * * mon-fri'; or @daily.")
    ] = None,
    at: Annotated[str | None, typer.Option(help="One moment in place of --cron: 2026-12-24T18:00+01:00.")] = None,
    time_zone: Annotated[str | None, typer.Option("--time-zone", help="Of --cron: Europe/Berlin; else UTC.")] = None,
    inputs: Annotated[str | None, typer.Option("--inputs", help="A JSON object, or @FILE.")] = None,
    display_name: Annotated[str | None, typer.Option("--name", help="What people call it.")] = None,
    missed: Annotated[
        str | None, typer.Option(help="Ticks while the mesh was down: run_once, skip or run_all.")
    ] = None,
    overlap: Annotated[
        str | None, typer.Option(help="While a job goes on: skip, allow, queue_one or cancel_previous.")
    ] = None,
    jitter: Annotated[int | None, typer.Option(help="Fire up to so many seconds later.")] = None,
    start: Annotated[str | None, typer.Option(help="No tick before this moment.")] = None,
    end: Annotated[str | None, typer.Option(help="No tick from this moment on.")] = None,
) -> Fields:
    return options.given(
        cron=cron,
        run_time=_moment(at),
        time_zone=time_zone,
        inputs=_object(inputs),
        display_name=display_name,
        missed_policy=missed,
        overlap_policy=overlap,
        jitter_seconds=jitter,
        start_time=_moment(start),
        end_time=_moment(end),
    )


@_schedules.command()
@options.having(_when)
def create(
    target: Annotated[str, typer.Argument(help="A flow, agents/SLUG or crews/ID.")],
    fields: Fields,
    url: Url = URL,
    as_json: AsJson = False,
) -> None:
    """Start jobs of TARGET when it is time: agentmesh schedules create hymn --cron @daily --inputs '{...}'."""

    async def work(client: AsyncClient) -> None:
        made = await client.schedules.create(target=_target(target), **fields)
        if as_json:
            output.as_json(made)
        else:
            output.say(f"{made.name} created, fires next at {output.moment(made.next_fire_time)}")

    call(url, work)


@_schedules.command()
@options.having(_when)
def update(name: Name, fields: Fields, url: Url = URL, as_json: AsJson = False) -> None:
    """Change what is given of a schedule."""
    if not fields:
        raise typer.BadParameter("say what to change, such as --cron")

    async def work(client: AsyncClient) -> None:
        changed = await client.schedules.update(name, **fields)
        if as_json:
            output.as_json(changed)
        else:
            output.say(f"{changed.name} updated, {changed.state}")

    call(url, work)


@_schedules.command()
def pause(name: Name, url: Url = URL) -> None:
    """Let it not fire until it is resumed."""
    _do("pause", name, url)


@_schedules.command()
def resume(name: Name, url: Url = URL) -> None:
    """Let it fire again."""
    _do("resume", name, url)


def _do(what: str, name: str, url: str) -> None:
    async def work(client: AsyncClient) -> None:
        changed = await getattr(client.schedules, what)(name)
        output.say(f"{changed.name} {changed.state}")

    call(url, work)


@_schedules.command()
def trigger(name: Name, url: Url = URL, as_json: AsJson = False) -> None:
    """Fire it now."""

    async def work(client: AsyncClient) -> Firing:
        return await client.schedules.trigger(name)

    fired = call(url, work)
    if as_json:
        output.as_json(fired)
    else:
        output.say(" ".join(filter(None, (fired.name, fired.state, fired.job, fired.message))))
    if fired.state == "failed":
        raise typer.Exit(1)


@_schedules.command()
def history(name: Name, url: Url = URL, as_json: AsJson = False) -> None:
    """List what became of its ticks, the last first."""

    async def work(client: AsyncClient) -> None:
        found = [each async for each in client.schedules.firings(name)]
        if as_json:
            for each in found:
                output.as_json(each)
            return
        rows = [(output.moment(each.tick_time), each.state, each.job, each.message) for each in found]
        output.table(("TICK", "STATE", "JOB", "WHY"), rows)

    call(url, work)


@_schedules.command()
def delete(name: Name, url: Url = URL) -> None:
    """Delete a schedule with its history; its jobs stay."""

    async def work(client: AsyncClient) -> None:
        await client.schedules.delete(name)
        output.say(f"{name} deleted")

    call(url, work)


def _target(name: str) -> str:
    return name if name.startswith(("flows/", "agents/", "crews/")) else f"flows/{name}"


def _object(text: str | None) -> dict[str, Any] | None:
    return None if text is None else json_of(text, "--inputs")


def _moment(text: str | None) -> datetime.datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.datetime.fromisoformat(text)
    except ValueError as error:
        raise typer.BadParameter(f"not a moment: {text!r}; such as 2026-12-24T18:00+01:00") from error
    return moment.astimezone(datetime.UTC)
