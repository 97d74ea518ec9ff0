"""`agentmesh webhooks …`: addresses that are told of jobs, and what was sent to them."""

from typing import Annotated

import typer

from agentmesh.cli.terminal import options, output
from agentmesh.cli.terminal.options import Fields
from agentmesh.cli.terminal.session import URL, AsJson, Url, call
from agentmesh.client import AsyncClient, Delivery, Webhook

_webhooks = typer.Typer(help="Webhooks: addresses that are told of jobs.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="Id or webhooks/ID.")]


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(_webhooks, name="webhooks")


@_webhooks.command("list")
def list_webhooks(
    all_owners: Annotated[bool, typer.Option("--all-owners", help="Operators: those of every owner.")] = False,
    url: Url = URL,
    as_json: AsJson = False,
) -> None:
    """List webhooks, newest first."""

    async def work(client: AsyncClient) -> None:
        found = [each async for each in client.webhooks.list(all_owners=all_owners)]
        if as_json:
            for each in found:
                output.as_json(each)
            return
        rows = [(each.display_name, each.url, _state(each), ",".join(each.kinds), each.name) for each in found]
        output.table(("NAME", "URL", "STATE", "KINDS", "ID"), rows)

    call(url, work)


def _state(webhook: Webhook) -> str:
    if not webhook.enabled:
        return "disabled"
    return "failing" if webhook.failing_since_time else "enabled"


@_webhooks.command()
def show(name: Name, url: Url = URL, as_json: AsJson = False) -> None:
    """Show a webhook."""

    async def work(client: AsyncClient) -> None:
        (output.as_json if as_json else output.fields_of)(await client.webhooks.get(name))

    call(url, work)


def _webhook(
    display_name: Annotated[str | None, typer.Option("--name", help="What people call it.")] = None,
    kind: Annotated[
        list[str] | None, typer.Option("--kind", "-k", help="Tell it of this, such as job.failed or lock.*; repeat it.")
    ] = None,
    target: Annotated[
        list[str] | None, typer.Option("--target", "-t", help="Only of jobs of this, such as flows/hymn; repeat it.")
    ] = None,
    enabled: Annotated[bool | None, typer.Option("--enable/--disable", help="Whether it is told anything.")] = None,
) -> Fields:
    return options.given(display_name=display_name, kinds=kind, targets=target, enabled=enabled)


@_webhooks.command()
@options.having(_webhook)
def create(
    address: Annotated[str, typer.Argument(help="https://…")], fields: Fields, url: Url = URL, as_json: AsJson = False
) -> None:
    """Have an address told of your jobs.  The secret that signs requests is said now, and never again."""

    async def work(client: AsyncClient) -> None:
        made = await client.webhooks.create(url=address, **fields)
        if as_json:
            output.as_json(made)
        else:
            output.say(f"{made.name} created; requests are signed (Standard Webhooks) with {made.secret}")

    call(url, work)


@_webhooks.command()
@options.having(_webhook)
def update(
    name: Name,
    fields: Fields,
    address: Annotated[str | None, typer.Option("--address", help="Another address.")] = None,
    url: Url = URL,
    as_json: AsJson = False,
) -> None:
    """Change what is given of a webhook."""
    changes = {**fields, **options.given(url=address)}
    if not changes:
        raise typer.BadParameter("say what to change, such as --enable")

    async def work(client: AsyncClient) -> None:
        changed = await client.webhooks.update(name, **changes)
        if as_json:
            output.as_json(changed)
        else:
            output.say(f"{changed.name} updated, {_state(changed)}")

    call(url, work)


@_webhooks.command()
def rotate(name: Name, url: Url = URL, as_json: AsJson = False) -> None:
    """Give it a new secret; for a day the old one signs, too."""

    async def work(client: AsyncClient) -> None:
        changed = await client.webhooks.rotate_secret(name)
        if as_json:
            output.as_json(changed)
        else:
            output.say(f"{changed.name} has a new secret: {changed.secret}")

    call(url, work)


@_webhooks.command("test")
def send_test(name: Name, url: Url = URL, as_json: AsJson = False) -> None:
    """Send it a test, once.  Exit code 1 if it did not take it."""

    async def work(client: AsyncClient) -> Delivery:
        return await client.webhooks.test(name)

    sent = call(url, work)
    _show(sent, as_json=as_json)
    if sent.state != "delivered":
        raise typer.Exit(1)


@_webhooks.command()
def deliveries(name: Name, url: Url = URL, as_json: AsJson = False) -> None:
    """List what was and is to be sent, newest first."""

    async def work(client: AsyncClient) -> None:
        found = [each async for each in client.webhooks.deliveries(name)]
        if as_json:
            for each in found:
                output.as_json(each)
            return
        rows = [
            (
                output.moment(each.create_time),
                each.kind,
                each.job,
                each.state,
                str(each.status_code or ""),
                each.error,
                each.name,
            )
            for each in found
        ]
        output.table(("WHEN", "KIND", "JOB", "STATE", "STATUS", "WHY", "ID"), rows)

    call(url, work)


@_webhooks.command()
def redeliver(
    name: Annotated[str, typer.Argument(help="webhooks/ID/deliveries/ID.")], url: Url = URL, as_json: AsJson = False
) -> None:
    """Have a delivery sent once more."""

    async def work(client: AsyncClient) -> None:
        _show(await client.webhooks.redeliver(name), as_json=as_json)

    call(url, work)


@_webhooks.command()
def delete(name: Name, url: Url = URL) -> None:
    """Delete a webhook with its deliveries."""

    async def work(client: AsyncClient) -> None:
        await client.webhooks.delete(name)
        output.say(f"{name} deleted")

    call(url, work)


def _show(delivery: Delivery, *, as_json: bool) -> None:
    if as_json:
        output.as_json(delivery)
    else:
        status = str(delivery.status_code or "")
        output.say(" ".join(filter(None, (delivery.name, delivery.state, status, delivery.error))))
