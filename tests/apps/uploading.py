"""An app as one writes it for kodosumi: it reads what was uploaded, in processes of its own, and writes a text."""

import asyncio
import concurrent.futures
import multiprocessing
import os
from pathlib import Path
from tempfile import mkdtemp

import fastapi
from kodosumi.core import Launch, ServeAPI, Tracer
from kodosumi.core import forms as F
from kodosumi.response import Markdown
from ray import serve

app = ServeAPI()


def process_file(file: str, tracer: Tracer) -> dict[str, object]:
    """Copy a file here, count its words, and upload what was found."""
    fs = tracer.fs_sync()
    local = next(fs.download(file))
    tracer.debug_sync(f"start processing `{file}`")
    try:
        words = len(Path(local).read_text(errors="replace").split())
        made = Path(mkdtemp()) / Path(file).with_suffix(".md").name
        made.write_text(f"# {file}\n\n{words} words\n")
        fs.upload(str(made))
        return {"source": file, "target": made.name, "words": words}
    finally:
        os.remove(local)
        fs.close()


async def run(inputs: dict, tracer: Tracer) -> Markdown:  # type: ignore[type-arg]
    """Process every file, each elsewhere."""
    afs = await tracer.fs()
    files = await afs.ls("in")
    await tracer.markdown("### File Processing Started")
    await tracer.markdown("\n".join(f"* [{f['path']}](/files/{tracer.fid}/{f['path']})" for f in files))
    await afs.close()
    with concurrent.futures.ProcessPoolExecutor(2, multiprocessing.get_context("fork")) as pool:
        work = [asyncio.wrap_future(pool.submit(process_file, f["path"], tracer)) for f in files]
        results = await asyncio.gather(*work)
    names = ", ".join(sorted(inputs["files"]))
    lines = [f"* {r['source']}: {r['words']} [markdown](/files/{tracer.fid}/out/{r['target']})" for r in results]
    return Markdown("\n".join([f"### {names}", *lines]))


model = F.Model(
    F.Markdown("# Text Processing"),
    F.Break(),
    F.InputFiles(label="Upload Files", name="files", multiple=True, directory=False, required=False),
    F.Submit("Start"),
    F.Cancel("Cancel"),
)


@app.enter(
    path="/", model=model, summary="Text Processing", version="0.1.0", author="example@kodosumi.com", tags=["Test"]
)
async def enter(request: fastapi.Request, inputs: dict) -> Launch:  # type: ignore[type-arg]
    """Launch with the names of what was uploaded."""
    return Launch(request, "tests.apps.uploading:run", inputs=inputs)


@serve.deployment
@serve.ingress(app)
class TextProcessor:
    """What Ray Serve would run."""


fast_app = TextProcessor.bind()  # type: ignore[attr-defined]  # Ray Serve has made a deployment of it
