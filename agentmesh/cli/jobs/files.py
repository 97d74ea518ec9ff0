"""`agentmesh files ls|get|put|rm`: what jobs were given, and what they have made."""

import pathlib
from typing import Annotated, Any

import typer

from agentmesh.cli.jobs.jobs import JobName
from agentmesh.cli.terminal import finding, output
from agentmesh.cli.terminal.session import URL, AsJson, Url, call
from agentmesh.client import AsyncClient

_files = typer.Typer(help="Files of jobs: in/… is what a job was given, out/… what it has made.", no_args_is_help=True)
FilePath = Annotated[str, typer.Argument(help="Path of the file, as `agentmesh files ls` shows it: out/report.pdf.")]


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(_files, name="files")


@_files.command()
def ls(job: JobName, url: Url = URL, as_json: AsJson = False) -> None:
    """List the files of a job."""

    async def work(client: AsyncClient) -> None:
        found = await client.files.list(await finding.job_name(client, job))
        if as_json:
            for file in found:
                output.as_json(file)
            return
        output.table(("FILE", "BYTES", "WRITTEN"), [(f.path, str(f.size), output.moment(f.update_time)) for f in found])

    call(url, work)


@_files.command()
def get(
    job: JobName,
    path: FilePath,
    to: Annotated[pathlib.Path, typer.Argument(help="File or folder to copy it to.")] = pathlib.Path(),
    url: Url = URL,
) -> None:
    """Copy a file of a job to this machine."""

    async def work(client: AsyncClient) -> None:
        output.say(str(await client.files.download(await finding.job_name(client, job), path, to)))

    call(url, work)


@_files.command()
def put(
    job: JobName,
    local: Annotated[pathlib.Path, typer.Argument(help="File of this machine.", exists=True, dir_okay=False)],
    path: Annotated[str, typer.Argument(help="Its path there; in/ and its name if left out.")] = "",
    url: Url = URL,
) -> None:
    """Copy a file of this machine to a job."""

    async def work(client: AsyncClient) -> None:
        output.say((await client.files.upload(await finding.job_name(client, job), local, path)).path)

    call(url, work)


@_files.command()
def rm(job: JobName, path: FilePath, url: Url = URL) -> None:
    """Delete a file of a job, or a folder with all that is in it."""

    async def work(client: AsyncClient) -> None:
        await client.files.delete(await finding.job_name(client, job), path)

    call(url, work)


async def sent(client: AsyncClient, elements: list[dict[str, Any]], given: dict[str, Any]) -> dict[str, Any]:
    """Send what the fields for files name with `@PATH`, and return the inputs with what stands for it.

    Raises `ValueError` for a path that is none.
    """
    values = dict(given)
    for element in elements:
        name = element.get("name")
        if element.get("type") != "file" or name not in given:
            continue
        named = given[name] if isinstance(given[name], list) else [given[name]]
        local = [each[1:] for each in named if isinstance(each, str) and each.startswith("@")]
        if not local:
            continue
        if len(local) < len(named):
            raise ValueError(f"--{name}: give files of this machine (@PATH) or addresses, not both")
        _check_there(name, local)
        values[name] = await client.files.send(local)
    return values


def _check_there(name: str, local: list[str]) -> None:
    missing = [path for path in local if not pathlib.Path(path).exists()]
    if missing:
        raise ValueError(f"--{name}: there is no file {missing[0]}")
