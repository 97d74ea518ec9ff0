"""An app that reads what it was given and writes what it makes of it."""

import asyncio
import pathlib
import tempfile
from typing import Annotated, Any

import pydantic
from fastapi import Request

from agentmesh import Launch, ServeAPI, Tracer, forms

app = ServeAPI()
model = forms.Model(forms.InputText("note"), forms.InputFiles("files", multiple=True), forms.Submit("Go"))


@app.enter("/", model=model)
async def enter(inputs: dict[str, Any], request: Request) -> Launch:
    """Launch with the names of what was sent."""
    return Launch(request, read, inputs=inputs)


async def read(inputs: dict[str, Any], tracer: Tracer) -> Any:
    """Copy each file in capitals to `out`, and tell what is there."""
    async with await tracer.fs() as fs:
        there = await fs.ls()
        async for local in fs.download("in"):
            made = pathlib.Path(tempfile.mkdtemp()) / pathlib.Path(local).name
            made.write_bytes(pathlib.Path(local).read_bytes().upper())  # noqa: ASYNC240
            await fs.upload(str(made))
        refused = []
        for path in ("in/none", "out/../in/x", "etc/passwd"):
            try:
                await fs.read(path)
            except (FileNotFoundError, ValueError) as error:
                refused.append(type(error).__name__)
        made_now = [file["path"] for file in await fs.ls("out")]
    inputs = {**inputs, "files": sorted(inputs["files"])}
    return {"in": [[file["path"], file["size"]] for file in there], "refused": refused, "out": made_now, **inputs}


class Wanted(pydantic.BaseModel):
    """One file, and any number of others."""

    one: Annotated[str, pydantic.Field(json_schema_extra={"element": "file"})]
    more: Annotated[list[str], pydantic.Field(json_schema_extra={"element": "file"})] = []


@app.flow("/declared")
def declared(inputs: Wanted, tracer: Tracer) -> Any:
    """Read by the names that the inputs have, in a thread."""
    with tracer.fs_sync() as fs:
        large = b"0123456789abcdef" * 100_000
        fs.write("out/deep/large.bin", large)
        fs.write("out/empty.txt", "")
        with fs.open("out/deep/large.bin") as file:
            same = file.read_all() == large
        removed = fs.open("in/" + inputs.one.removeprefix("in/")).remove()
        return {
            "inputs": inputs.model_dump(),
            "texts": [fs.read(name).decode() for name in inputs.more],
            "same": same,
            "removed": removed,
            "left": [file["path"] for file in fs.ls("in")],
        }


@app.flow("/pieces")
async def pieces(tracer: Tracer) -> int:
    """Write many files at the same time."""
    fs = await tracer.fs()
    await asyncio.gather(*(fs.write(f"out/{number:02d}.txt", str(number)) for number in range(20)))
    return sum(int(text) for text in await asyncio.gather(*(fs.read(f"out/{number:02d}.txt") for number in range(20))))
