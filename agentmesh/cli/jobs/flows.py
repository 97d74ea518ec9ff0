"""`agentmesh flows`, `form` and `run`: what can be run."""

import asyncio
import difflib
import json
import sys
from collections.abc import Iterable
from typing import Annotated, Any

import typer

from agentmesh.cli.jobs.files import sent
from agentmesh.cli.jobs.jobs import follow
from agentmesh.cli.jobs.payments import PayToken, paying
from agentmesh.cli.terminal import completing, late, output
from agentmesh.cli.terminal.asking import ask
from agentmesh.cli.terminal.session import URL, AsJson, Url, call
from agentmesh.client import AsyncClient, Flow, MeshError, NotFound

FlowName = Annotated[
    str,
    typer.Argument(help="Name of the flow, as `agentmesh flows` shows it.", autocompletion=completing.flows),
]

_DEFINED = ("agents/", "crews/")
_LATE = late.ALWAYS | {"detach", "watch", "free", "pay"}
"""Options of `run` that may follow FLOW."""
_RETRIES_MAX = 100
_NUMBERS = frozenset({"retries", "deadline"})
"""Those that have a number; --inputs may, too."""


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(flows)
    app.command()(form)
    # What follows FLOW belongs to the flow: an input may be called `url`, too.
    app.command(
        cls=completing.RunCommand,
        context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "allow_interspersed_args": False},
    )(run)


def flows(
    query: Annotated[str, typer.Argument(help="Only flows with this in their description.")] = "",
    url: Url = URL,
    as_json: AsJson = False,
) -> None:
    """List the flows that can be run."""

    async def work(client: AsyncClient) -> None:
        found = [flow async for flow in client.flows(query)]
        if as_json:
            for flow in found:
                output.as_json(flow)
            return
        if not found:
            add = "no flows: add an app with `agentmesh expose add`, then `agentmesh boot`"
            output.note(f"no flow is about {query!r}: `agentmesh flows` lists all" if query else add)
        output.table(("FLOW", "SUMMARY", "TAGS", ""), map(_row, found))

    call(url, work)


def form(flow: FlowName, url: Url = URL, as_json: AsJson = False) -> None:
    """Show what a flow asks for."""

    async def work(client: AsyncClient) -> None:
        await _check_flow(client, flow)
        elements = await client.form(flow)
        if as_json:
            for element in elements:
                print(json.dumps(element, ensure_ascii=False))
        else:
            _show_form(elements)

    call(url, work)


def _show_form(elements: Iterable[dict[str, Any]]) -> None:
    rows = [
        (f"--{e['name']}", str(e.get("type", "")), _shown(e), "required" if e.get("required") else "")
        for e in elements
        if e.get("name")
    ]
    output.table(("INPUT", "TYPE", "LABEL (DEFAULT)", ""), rows)


def run(
    context: typer.Context,
    flow: FlowName,
    inputs: Annotated[str, typer.Option(help="Inputs as a JSON object, or @FILE.")] = "",
    detach: Annotated[
        bool, typer.Option("--detach/--watch", "-d/-w", help="Print the job's name and return, or show its events.")
    ] = False,
    free: Annotated[
        bool, typer.Option("--free", help="Run a priced flow free of charge: operators of a mesh on loopback only.")
    ] = False,
    pay: Annotated[bool, typer.Option("--pay", help="Pay for it, as `agentmesh pay` does.")] = False,
    token: PayToken = "",
    retries: Annotated[
        int, typer.Option(min=0, max=_RETRIES_MAX, help="How often it may be started; 0: as the flow says.")
    ] = 0,
    deadline_s: Annotated[
        float, typer.Option("--deadline", min=0.0, help="After how many seconds it fails; 0: as the flow says.")
    ] = 0.0,
    url: Url = URL,
    as_json: AsJson = False,
) -> None:
    """Run a flow and show its events: agentmesh run hymn --topic "the sea".

    Options of this command come before FLOW; what follows FLOW are its inputs, which `agentmesh run FLOW --help` lists.
    --json, --url, --detach, --watch, --free, --pay, --inputs, --retries and --deadline may stand there, too, unless the
    flow has an input of that name.
    A file of this machine is given as @PATH: --report @report.pdf.
    What a flow needs and is not given is asked for on a terminal.  Agents and crews are run by their names: agentmesh
    run agents/atlas --prompt "Review this", agentmesh run crews/lesson --topic time.
    """

    async def names(client: AsyncClient) -> set[str]:
        if flow.startswith("crews/"):  # whose tasks may name any input
            return {*_NUMBERS, "inputs"}
        return set() if flow.startswith(_DEFINED) else _names(await client.form(flow))

    typed = parse_inputs(context.args)
    said, url = late.taken(typed, _LATE, names, url)
    as_json, free, pay = as_json or "json" in said, free or "free" in said, pay or "pay" in said
    detach = (detach or "detach" in said) and "watch" not in said
    numbers = late.valued(typed, _NUMBERS, names, url)
    retries = late.count(numbers["retries"], "retries", _RETRIES_MAX) if "retries" in numbers else retries
    deadline_s = late.number(numbers["deadline"], "deadline") if "deadline" in numbers else deadline_s
    values = late.inputs(typed, inputs, names, url) | typed
    asking = not values and not as_json and sys.stdin.isatty()

    async def work(client: AsyncClient) -> int:
        given, target = dict(values), flow
        if flow.startswith("crews/"):
            target = (await client.crews.get(flow)).name
        elif not flow.startswith(_DEFINED):  # what these take the mesh says
            found, elements = await _asked(client, flow)
            if given.get("help") is True and "help" not in _names(elements):
                _show_form(elements)
                return 0
            _check_names(flow, elements, given)
            given |= _prompted(elements, given, everything=asking) if sys.stdin.isatty() and not as_json else {}
            given = await sent(client, elements, given)
            if found.price and not free and not pay:
                output.note(f"{_short(flow)} costs {found.price}: the job waits for the money")
        job = await client.create_job(target, given, free=free, retries=retries or None, deadline_s=deadline_s)
        if detach:
            output.as_json(job) if as_json else output.say(job.name)
        elif not as_json:
            output.say(f"{job.name} {job.state}", "dim")
        if pay and job.payment and (code := await paying(client, url, job.name, token=token, as_json=as_json)):
            return code
        try:
            return 0 if detach else await follow(client, job.name, as_json=as_json)
        except asyncio.CancelledError:
            output.note(f"the job goes on: agentmesh watch {job.id}, or agentmesh cancel {job.id}")
            raise

    raise typer.Exit(call(url, work))


async def _asked(client: AsyncClient, name: str) -> tuple[Flow, list[dict[str, Any]]]:
    """Return a flow and its form, which is empty if it does not say."""
    flow = await _check_flow(client, name)
    try:
        return flow, await client.form(name)
    except MeshError:  # not a form that says its names; the app decides
        return flow, []


def _names(elements: Iterable[dict[str, Any]]) -> set[str]:
    return {str(element["name"]) for element in elements if element.get("name")}


def _prompted(elements: list[dict[str, Any]], given: dict[str, Any], *, everything: bool) -> dict[str, Any]:
    """Ask a person for what is needed and not given; for all of the form, if nothing is."""
    asked = [
        field
        for field in output.fields(elements)
        if field["name"] not in given and (everything or field.get("required")) and field.get("type") != "hidden"
    ]
    return ask(asked)


def parse_inputs(arguments: list[str]) -> dict[str, Any]:
    """Return the inputs of `--key value`, `--key=value` and `--flag`.

    A key given twice becomes a list.  Raises `typer.BadParameter` for what is none of these.
    """
    values: dict[str, Any] = {}
    rest = list(arguments)
    while rest:
        word = rest.pop(0)
        if not word.startswith("--") or len(word) == 2:
            raise typer.BadParameter(f"{word!r}: inputs look like --name value")
        name, separator, value = word[2:].partition("=")
        given: Any = value
        if not separator:
            given = rest.pop(0) if rest and not rest[0].startswith("--") else True
        if name in values:
            earlier = values[name]
            values[name] = [*(earlier if isinstance(earlier, list) else [earlier]), given]
        else:
            values[name] = given
    return values


async def _check_flow(client: AsyncClient, name: str) -> Flow:
    """Return a flow.  Raises `NotFound` with the names that come close."""
    try:
        return await client.flow(name)
    except NotFound as error:
        wanted = _short(name.strip("/"))
        names = [_short(flow.name) async for flow in client.flows()]
        near = difflib.get_close_matches(wanted, names, n=3, cutoff=0.5)
        near += [other for other in names if other.startswith(f"{wanted}/") and other not in near]
        near = [*await _defined(client, wanted), *near]
        hint = f"; did you mean {' or '.join(near[:3])}?" if near else "; see `agentmesh flows`"
        raise NotFound(f"there is no flow {wanted}{hint}", code=error.code) from error


async def _defined(client: AsyncClient, called: str) -> list[str]:
    """Return the agents and crews of the caller's that are called like this, as `run` takes them."""
    called = called.casefold()
    agents = [f"agents/{agent.slug}" async for agent in client.agents.list() if agent.slug == called]
    crews = {f"crews/{called}" async for crew in client.crews.list() if crew.display_name.casefold() == called}
    return [*agents, *crews]


def _check_names(flow: str, elements: list[dict[str, Any]], values: dict[str, Any]) -> None:
    """Raise for inputs that the form does not have: the mesh drops them without a word."""
    names = [str(element["name"]) for element in elements if element.get("name")]
    for value in values if elements else ():
        if value not in names:
            near = difflib.get_close_matches(value, names, n=1)
            hint = f"did you mean --{near[0]}?" if near else f"it has {', '.join(names) or 'none'}"
            raise ValueError(f"{_short(flow)} has no input {value!r}; {hint}")


def _row(flow: Flow) -> tuple[str, str, str, str]:
    notes = [f"costs {flow.price}" if flow.price else "", "" if flow.alive else "does not answer"]
    return _short(flow.name), flow.summary, ", ".join(flow.tags), "; ".join(filter(None, notes))


def _short(name: str) -> str:
    return name.removeprefix("flows/")


def _shown(element: dict[str, Any]) -> str:
    label, value = element.get("label") or "", element.get("value")
    return f"{label} ({value})" if value not in (None, "", False) else str(label)
