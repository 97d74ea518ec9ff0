"""`agentmesh payments` and `pay`: what jobs cost."""

import asyncio
import contextlib
import datetime
import json
import urllib.error
import urllib.request
from typing import Annotated, Any

import typer

from agentmesh.cli.jobs.jobs import JobName
from agentmesh.cli.terminal import finding, output
from agentmesh.cli.terminal.session import URL, AsJson, Url, call
from agentmesh.client import AsyncClient, MeshError, NotFound, Payment, Unreachable

_TIMEOUT_S = 30.0
_ANSWER_BYTES_MAX = 1024 * 1024
_LOVELACE_PER_ADA = 1_000_000


PayToken = Annotated[
    str,
    typer.Option(
        help="API key of a buyer; operators of a mesh with a ledger of its own need none.",
        envvar="AGENTMESH_PAY_TOKEN",
    ),
]


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(payments)
    app.command()(pay)


def payments(
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="How many at most.")] = 20,
    url: Url = URL,
    as_json: AsJson = False,
) -> None:
    """List payments, newest first."""

    async def work(client: AsyncClient) -> None:
        found = []
        async with contextlib.aclosing(client.payments()) as items:
            async for payment in items:
                found.append(payment)
                if len(found) == limit:
                    break
        if as_json:
            for payment in found:
                output.as_json(payment)
            return
        output.table(("JOB", "STATE", "PRICE", "NETWORK", "PAY BY", "ERROR"), map(_row, found))

    call(url, work)


def pay(
    job: JobName,
    token: PayToken = "",
    service: Annotated[
        str, typer.Option(help="Address of the buyer's payment service; by default the mesh itself.")
    ] = "",
    url: Url = URL,
    as_json: AsJson = False,
) -> None:
    """Pay for a job, and wait until the money is in escrow.  Exit code 1 if the payment fails.

    The job's payment says what is due; it is bought with Masumi's `POST /api/v1/purchase/`.
    """

    async def work(client: AsyncClient) -> int:
        name = await finding.job_name(client, job)
        return await paying(client, url, name, token=token, service=service, as_json=as_json)

    raise typer.Exit(call(url, work))


async def paying(
    client: AsyncClient, url: str, name: str, *, token: str = "", service: str = "", as_json: bool = False
) -> int:
    """Pay for a job, and wait until the money is in escrow; return the exit code."""
    bought = False
    state = ""
    if not await _asked(client, name):
        output.outcome(await client.job(name))
        return 1
    async with contextlib.aclosing(client.watch_payment(name)) as changes:
        async for payment in changes:
            if payment.state != state and not as_json:
                state = payment.state
                output.say(f"{payment.job} {state}{f': {payment.error}' if payment.error else ''}")
            if payment.paid or payment.ended:
                if as_json:
                    output.as_json(payment)
                return 0 if payment.paid else 1
            if payment.payable and not bought:
                if (found := await client.job(name)).ended:  # what is paid now would only come back
                    output.outcome(found)
                    return 1
                bought = True
                key = token or (await client.development_token())
                said = await asyncio.to_thread(_buy, f"{service or url}".rstrip("/"), key, payment)
                if not as_json:
                    output.say(said)
    return 1


async def _asked(client: AsyncClient, job: str) -> bool:
    """Wait until the purchaser of a job can be asked to pay; return False if the job has ended before.

    Raises `NotFound` if the job costs nothing.
    """
    found = await client.job(job)
    if not found.payment:
        raise NotFound(f"{found.name} costs nothing: it was started without a purchaser", code="NOT_FOUND")
    async with contextlib.aclosing(client.watch(job)) as events:
        async for event in events:
            if event.kind == "payment":
                return True
    return False


def _buy(url: str, token: str, payment: Payment) -> str:
    """Post the purchase; return what to tell.  One that exists already is as good as a new one."""
    request = urllib.request.Request(
        f"{url if '://' in url else f'http://{url}'}/api/v1/purchase/",
        data=json.dumps(payment.purchase()).encode(),
        headers={"token": token, "content-type": "application/json", "accept": "application/json"},
        method="POST",
    )
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:
            body = _body(answer.read(_ANSWER_BYTES_MAX))
    except urllib.error.HTTPError as error:
        with error:
            body = _body(error.read(_ANSWER_BYTES_MAX))
        said = body.get("error")
        message = str((said.get("message") if isinstance(said, dict) else said) or error.reason)
        if error.code == 409:
            return f"{payment.job} was bought before: {message}"
        raise MeshError(f"the purchase was refused ({error.code}): {message}", code="FAILED_PRECONDITION") from error
    except OSError as error:
        raise Unreachable(f"no payment service answers at {url}: {error}", code="UNAVAILABLE") from error
    data = body.get("data") or {}
    action = str((data.get("NextAction") or {}).get("requestedAction") or "bought")
    funds = [(int(paid.get("amount") or 0), str(paid.get("unit") or "")) for paid in data.get("PaidFunds") or ()]
    return f"{payment.job} {action}{f' ({price(funds)})' if funds else ''}"


def _body(data: bytes) -> dict[str, Any]:
    try:
        body = json.loads(data)
    except ValueError:
        body = None
    return body if isinstance(body, dict) else {}


def price(amounts: "tuple[tuple[int, str], ...] | list[tuple[int, str]]") -> str:
    """Return amounts as people read them: `10 ADA`, or a number of a token's smallest unit."""
    shown = []
    for amount, unit in amounts:
        if unit:
            shown.append(f"{amount} {unit[:8]}…{unit[-4:]}" if len(unit) > 16 else f"{amount} {unit}")
        else:
            whole, rest = divmod(amount, _LOVELACE_PER_ADA)
            shown.append(f"{whole}{f'.{rest:06}'.rstrip('0') if rest else ''} ADA")
    return " + ".join(shown)


def _row(payment: Payment) -> tuple[str, ...]:
    due: datetime.datetime | None = payment.pay_by_time
    return (
        payment.job.removeprefix("jobs/"),
        payment.state,
        price(payment.amounts),
        payment.network,
        output.moment(due),
        payment.error,
    )
