"""`agentmesh retention list|add|delete`: what is forgotten by itself, and when."""

from typing import Annotated

import typer

from agentmesh.cli.terminal import output
from agentmesh.cli.terminal.session import URL, AsJson, Url, call
from agentmesh.client import AsyncClient, RetentionPolicy

_retention = typer.Typer(help="Retention: what is forgotten by itself, and when.", no_args_is_help=True)
_DAY_S = 86_400
_MIB = 1024 * 1024


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(_retention, name="retention")


@_retention.command("list")
def list_policies(url: Url = URL, as_json: AsJson = False) -> None:
    """List your policies and those of everybody, newest first."""

    async def work(client: AsyncClient) -> None:
        found = [each async for each in client.retention.list()]
        if as_json:
            for each in found:
                output.as_json(each)
            return
        rows = [
            (each.owner or "everybody", each.target, _keeps(each), str(each.forgotten_count), each.name)
            for each in found
        ]
        output.table(("OF", "TARGET", "KEEPS", "FORGOTTEN", "ID"), rows)

    call(url, work)


def _keeps(policy: RetentionPolicy) -> str:
    said = []
    if policy.age_seconds:
        said.append(f"{policy.age_seconds / _DAY_S:g} days")
    if policy.job_count:
        said.append(f"{policy.job_count} jobs")
    if policy.stored_bytes:
        said.append(f"{policy.stored_bytes / _MIB:g} MiB")
    return ", ".join(said)


@_retention.command()
def add(
    days: Annotated[float, typer.Option(help="Forget what ended, or fell silent, so long ago.")] = 0,
    jobs: Annotated[int, typer.Option(help="Keep so many of an owner's jobs that have ended.")] = 0,
    mebibytes: Annotated[float, typer.Option(help="Keep so much of an owner's jobs that have ended, in MiB.")] = 0,
    target: Annotated[str, typer.Option(help="Only jobs of this, such as flows/hymn.")] = "",
    all_owners: Annotated[bool, typer.Option("--all-owners", help="Operators: of everybody's.")] = False,
    url: Url = URL,
    as_json: AsJson = False,
) -> None:
    """Keep no more than this; the rest is forgotten for good, from now on."""

    async def work(client: AsyncClient) -> None:
        made = await client.retention.create(
            target=target,
            age_seconds=int(days * _DAY_S),
            job_count=jobs,
            stored_bytes=int(mebibytes * _MIB),
            all_owners=all_owners,
        )
        if as_json:
            output.as_json(made)
        else:
            output.say(f"{made.name} keeps {_keeps(made)}")

    call(url, work)


@_retention.command()
def delete(name: Annotated[str, typer.Argument(help="Id or retentionPolicies/ID.")], url: Url = URL) -> None:
    """Delete a policy: what it has not forgotten yet is kept."""

    async def work(client: AsyncClient) -> None:
        await client.retention.delete(name)
        output.say(f"{name} deleted")

    call(url, work)
