"""`agentmesh rerun` and `retry`: the same job once more, as another one."""

from typing import Annotated, Any

import typer

from agentmesh.cli.jobs.flows import parse_inputs
from agentmesh.cli.jobs.jobs import JobName, JobNames, follow
from agentmesh.cli.terminal import finding, late, output
from agentmesh.cli.terminal.session import URL, AsJson, Url, call
from agentmesh.client import AsyncClient, Job

_MASKED = ("••••", "[REDACTED]")
RERUN_OF = "rerun-of"
"""The label of a job that says which one it repeats."""


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    # What follows JOB belongs to its flow.
    app.command(
        context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "allow_interspersed_args": False}
    )(rerun)
    app.command()(retry)


def rerun(
    context: typer.Context,
    job: JobName,
    inputs: Annotated[str, typer.Option(help="Inputs in place of its own: a JSON object, or @FILE.")] = "",
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Print the job's name and return.")] = False,
    url: Url = URL,
    as_json: AsJson = False,
) -> None:
    """Run again what a job has run, with its inputs: agentmesh rerun JOB --topic "the moon" changes one of them."""

    async def names(client: AsyncClient) -> set[str]:
        return set((await client.job(await finding.job_name(client, job))).inputs)

    typed = parse_inputs(context.args)
    said, url = late.taken(typed, late.ALWAYS | {"detach"}, names, url)
    as_json, detach = as_json or "json" in said, detach or "detach" in said
    changed = late.inputs(typed, inputs, names, url) | typed

    async def work(client: AsyncClient) -> int:
        again = await _again(client, await client.job(await finding.job_name(client, job)), changed)
        if detach:
            output.as_json(again) if as_json else output.say(again.name)
            return 0
        if not as_json:
            output.say(f"{again.name} {again.state}", "dim")
        return await follow(client, again.name, as_json=as_json)

    raise typer.Exit(call(url, work))


def retry(jobs: JobNames, url: Url = URL, as_json: AsJson = False) -> None:
    """Run again jobs that failed or were cancelled, with their inputs, and return: a line for each new one."""

    async def work(client: AsyncClient) -> None:
        found = [await client.job(await finding.job_name(client, each)) for each in jobs]
        for job in found:
            if job.state not in ("failed", "cancelled"):
                remedy = "agentmesh rerun runs it once more" if job.ended else "it has not ended"
                raise ValueError(f"{job.name} is {job.state}, and only what failed is retried: {remedy}")
        for job in found:
            again = await _again(client, job, {})
            output.as_json(again) if as_json else output.say(again.name)

    call(url, work)


async def _again(client: AsyncClient, job: Job, changed: dict[str, Any]) -> Job:
    """Make another job of the same target.  Raises `ValueError` for inputs that nobody is shown."""
    values = {**job.inputs, **changed}
    hidden = [name for name, value in values.items() if any(mark in str(value) for mark in _MASKED)]
    if hidden:
        options = " ".join(f"--{name} …" for name in hidden)
        raise ValueError(
            f"{', '.join(hidden)} of {job.name} is secret, give it again: agentmesh rerun {job.id} {options}"
        )
    return await client.create_job(job.target, values, labels={**job.labels, RERUN_OF: job.id})
