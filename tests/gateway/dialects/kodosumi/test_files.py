"""Files as kodosumi's clients send and fetch them, of an app that is written for it; and as our own API has them."""

import json
from typing import Any

import httpx
import pytest

from tests.gateway.stack import Edge, Panel

pytestmark = pytest.mark.asyncio(loop_scope="module")
MIB = 1024 * 1024
TOLD = (
    "accept-ranges", "cache-control", "content-disposition", "content-length", "content-range", "content-type", "etag",
)  # fmt: skip
"""Headers of a file."""
PAGE = b"<!doctype html><script>alert(document.cookie)</script>"


async def upload(panel: Panel, batch: str, name: str, data: bytes) -> str:
    """Send a file as kodosumi's client does; return the upload's id."""
    chunks = [data[at : at + MIB] for at in range(0, len(data), MIB)]
    asked = {"filename": name, "total_chunks": len(chunks), "batch_id": batch}
    begun = await panel.call("POST", "/files/init", json=asked)
    assert (201, batch) == (begun.status_code, begun.json()["batch_id"]), begun.text
    upload_id = str(begun.json()["upload_id"])
    for number, chunk in enumerate(chunks):
        form = {"upload_id": upload_id, "chunk_number": str(number)}
        taken = await panel.call("POST", "/files/chunk", data=form, files={"chunk": (f"chunk_{number}", chunk)})
        assert 201 == taken.status_code, taken.text
        said = {"status": "chunk received", "chunk_number": number, "received_chunks": number + 1}
        assert said == taken.json()
    return upload_id


async def sent(panel: Panel, **files: bytes) -> tuple[str, dict[str, Any]]:
    """Send files; return their batch, and the items that a form sends of them."""
    begun = await panel.call("POST", "/files/init_batch")
    assert 201 == begun.status_code
    batch = str(begun.json()["batch_id"])
    items = {}
    for name, data in files.items():
        path = name.replace("__", "/") + ".txt"
        items[await upload(panel, batch, path, data)] = {"filename": path, "totalChunks": -(-len(data) // MIB)}
    return batch, items


@pytest.fixture(scope="module")
def launched() -> dict[str, str]:
    """Return what the tests of this module share."""
    return {}


async def fid_of(panel: Panel, launched: dict[str, str]) -> str:
    """Return the id of an execution that was launched with two files, and has ended."""
    if "fid" not in launched:
        saved = await panel.save(name="uploading", bootstrap="import_path: tests.apps.uploading:fast_app")
        assert 201 == saved.status_code
        booted = await panel.call("POST", "/boot/")
        assert "✔ Boot completed" in booted.text, booted.text
        batch, items = await sent(panel, notes=b"one two three", docs__large=b"word " * 300_000)
        form = {"files": json.dumps({"batchId": batch, "name": "files", "items": items})}
        started = await panel.call("POST", "/-/uploading/", json=form)
        assert 200 == started.status_code, started.text
        launched["fid"] = started.json()["result"]
        launched["log"] = (await panel.call("GET", f"/outputs/stream/{launched['fid']}")).text
    return launched["fid"]


async def test_an_app_that_is_written_for_kodosumi_reads_what_was_uploaded(
    panel: Panel, launched: dict[str, str]
) -> None:
    """The handler gets the set of names; files are there from the begin on, in its own processes too."""
    fid = await fid_of(panel, launched)

    status = (await panel.call("GET", f"/outputs/status/{fid}")).json()
    assert "finished" == status["status"], launched["log"]
    body = json.loads(status["final"])["Markdown"]["body"]
    assert body.startswith("### docs/large.txt, notes.txt\n")
    assert "* in/docs/large.txt: 300000 [markdown]" in body
    assert "* in/notes.txt: 3 [markdown]" in body
    (told,) = [json.loads(line[6:].partition(":")[2]) for line in lines(launched["log"], "upload")]
    assert ["in/docs/large.txt", "in/notes.txt"] == [file["path"] for file in told["Upload"]["files"]]
    assert [1_500_000, 13] == [file["size"] for file in told["Upload"]["files"]]
    listed = (await panel.call("GET", f"/files/{fid}/out")).json()
    assert ["out/large.md", "out/notes.md"] == [file["path"] for file in listed]
    assert {"path", "size", "last_modified"} == set(listed[0])
    fetched = await panel.call("GET", f"/files/{fid}/out/notes.md")
    assert "# in/notes.txt\n\n3 words\n" == fetched.text


def lines(log: str, kind: str) -> list[str]:
    """Return the data of events of a kind."""
    parts = [part.splitlines() for part in log.split("\r\n\r\n")]
    return [part[2] for part in parts if len(part) == 3 and part[1] == f"event: {kind}"]


async def test_what_is_fetched_never_runs(panel: Panel, launched: dict[str, str]) -> None:
    """An attachment of no type, whole or in part."""
    fid = await fid_of(panel, launched)
    batch = (await panel.call("POST", "/files/init_batch")).json()["batch_id"]
    items = {await upload(panel, batch, "ö page.html", PAGE): {"filename": "ö page.html", "totalChunks": 1}}

    done = await panel.call("POST", f"/files/complete/{fid}/{batch}/out", json=items)

    assert 201 == done.status_code, done.text
    (one,) = done.json()
    assert ("upload complete", batch, "ö page.html") == (one["status"], one["batch_id"], one["final_file"])
    for address in (f"/files/{fid}/out/ö page.html", f"/mesh/v1/files/{fid}/out/ö page.html"):
        fetched = await panel.call("GET", address)
        assert (200, PAGE) == (fetched.status_code, fetched.content)
        assert "application/octet-stream" == fetched.headers["content-type"]
        assert fetched.headers["content-disposition"].startswith("attachment;")
        assert "filename*=UTF-8''%C3%B6%20page.html" in fetched.headers["content-disposition"]
        assert "nosniff" == fetched.headers["x-content-type-options"]
        assert "sandbox" in fetched.headers["content-security-policy"]
        part = await panel.call("GET", address, headers={"range": "bytes=2-8"})
        assert (206, b"doctype") == (part.status_code, part.content)
        assert f"bytes 2-8/{len(PAGE)}" == part.headers["content-range"]
        if_same = {"range": "bytes=2-8", "if-range": fetched.headers["etag"]}
        assert (200, PAGE) == ((whole := await panel.call("GET", address, headers=if_same)).status_code, whole.content)
        behind = await panel.call("GET", address, headers={"range": "bytes=900-"})
        assert (416, f"bytes */{len(PAGE)}") == (behind.status_code, behind.headers["content-range"])
        for wanted, got in ({}, fetched), ({"range": "bytes=2-8"}, part):
            head = await panel.call("HEAD", address, headers=wanted)
            assert (got.status_code, b"") == (head.status_code, head.content)
            assert [got.headers.get(name) for name in TOLD] == [head.headers.get(name) for name in TOLD]
            assert str(len(got.content)) == head.headers["content-length"]
    assert 204 == (await panel.call("DELETE", f"/files/{fid}/out/ö page.html")).status_code
    assert 404 == (await panel.call("DELETE", f"/files/{fid}/out/ö page.html")).status_code


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_what_one_has_is_not_sent_again(edge: Edge, panel: Panel, launched: dict[str, str], method: str) -> None:
    """Until another file is in its place: 304 to who names its tag; a path without a file is 404 all the same."""
    fid, name = await fid_of(panel, launched), f"{method}.txt"
    address = f"/mesh/v1/files/{fid}/out/{name}"

    async def put(data: bytes) -> None:
        sent = {"file": (name, data)}
        assert 200 == (await panel.call("POST", f"/mesh/v1/files/{fid}/out", files=sent)).status_code

    async def fetch(tag: str) -> httpx.Response:
        return await panel.call(method, address, headers={"if-none-match": tag} if tag else {})

    await put(b"one")
    tag = (await fetch("")).headers["etag"]
    bare = tag.removeprefix("W/")
    for named in (tag, bare, "*", f'"other", {tag}'):
        again = await fetch(named)
        assert (304, b"", tag) == (again.status_code, again.content, again.headers["etag"])
    for named in ('"other"', bare.strip('"')):
        assert 200 == (await fetch(named)).status_code
    await put(b"another")
    changed = await fetch(tag)

    assert 200 == changed.status_code
    assert "7" == changed.headers["content-length"]
    assert tag != changed.headers["etag"]
    assert 204 == (await panel.call("DELETE", f"/files/{fid}/out/{name}")).status_code
    assert 404 == (await fetch("*")).status_code


async def test_what_is_not_there_is_not_found(edge: Edge, panel: Panel, launched: dict[str, str]) -> None:
    """In words, never with 500; and what is somebody else's is not there."""
    fid = await fid_of(panel, launched)
    other = await edge.new_user("files-other")
    unknown = f"{'a' * 32}.{'b' * 32}"
    chunk = {"data": {"upload_id": unknown, "chunk_number": "0"}, "files": {"chunk": ("c", b"x")}}

    async def status(method: str, path: str, **more: Any) -> int:
        answer = await panel.call(method, path, **more)
        assert "detail" in answer.json() or answer.status_code < 300, answer.text
        return answer.status_code

    assert 404 == await status("POST", "/files/chunk", **chunk)
    assert 404 == await status("DELETE", f"/files/cancel/{unknown}")
    assert 404 == await status("DELETE", "/files/cancel/nonsense")
    assert 404 == await status("POST", "/files/complete/in", json={"upload_id": unknown})
    assert 404 == await status("GET", f"/files/{'0' * 24}/in")
    assert 404 == await status("GET", f"/files/{fid}/in/none")
    assert 404 == await status("GET", "/files/nonsense")
    assert 400 == await status("GET", f"/files/{fid}/etc")
    assert 400 == await status("DELETE", f"/files/{fid}/etc/passwd")
    assert 400 == await status("POST", "/files/init", json={"filename": "a"})
    for path in (f"/files/{fid}/in", f"/files/{fid}/in/notes.txt", f"/mesh/v1/files/{fid}/in/notes.txt"):
        assert 404 == (await edge.http.get(path, headers=other)).status_code
        assert 401 == (await edge.http.get(path)).status_code
    assert 404 == (await edge.http.delete(f"/files/{fid}/in/notes.txt", headers=other)).status_code
    for name in ("..%2F..%2Fkey", "%2e%2e/%2e%2e/key", "..%5C..%5Ckey", "a%00b"):
        assert await status("GET", f"/files/{fid}/in/{name}") in (400, 404)
    for name in ("../../key", "/etc/passwd", "a\\..\\b"):
        assert 400 == await status("POST", "/files/init", json={"filename": name, "total_chunks": 1})


async def test_a_chunk_has_a_mebibyte(panel: Panel) -> None:
    """More is 413; an upload that is not wanted any more is cancelled."""
    begun = (await panel.call("POST", "/files/init", json={"filename": "a", "total_chunks": 2})).json()
    form = {"upload_id": begun["upload_id"], "chunk_number": "0"}

    large = await panel.call("POST", "/files/chunk", data=form, files={"chunk": ("c", b"x" * (MIB + 1))})
    half = await panel.call("POST", "/files/complete/in", json={"upload_id": begun["upload_id"]})

    assert (413, 400) == (large.status_code, half.status_code)
    assert 204 == (await panel.call("DELETE", f"/files/cancel/{begun['upload_id']}")).status_code
    assert 404 == (await panel.call("DELETE", f"/files/cancel/{begun['upload_id']}")).status_code


async def test_the_page_of_a_form_takes_files(panel: Panel, launched: dict[str, str]) -> None:
    """With the form, as a browser sends it without a script; or what kodosumi's script has sent in chunks."""
    await fid_of(panel, launched)
    shown = (await panel.call("GET", "/inputs/-/uploading/")).text
    assert 'enctype="multipart/form-data"' in shown
    assert 'type="file" id="field-2" name="files" multiple="multiple"' in shown, shown
    two = [("files", ("a.txt", b"one two")), ("files", ("sub/b.txt", b"three"))]
    batch, items = await sent(panel, c=b"four")
    chunked = json.dumps({"batchId": batch, "name": "files", "items": items})
    for form, names in (
        ({"files": two}, ["a.txt", "sub/b.txt"]),
        ({"data": {"files": chunked}}, ["c.txt"]),
        ({"data": {"files": ""}, "files": [("none", ("x", b"of no field"))]}, []),
    ):
        taken = await panel.call("POST", "/inputs/-/uploading/", **form)

        assert 302 == taken.status_code, taken.text
        fid = taken.headers["location"].rpartition("/")[2]
        listed = (await panel.call("GET", f"/files/{fid}/in")).json()
        assert [f"in/{name}" for name in names] == [file["path"] for file in listed]
    wrong = await panel.call("POST", "/inputs/-/uploading/", files=[("files", ("../key", b"x"))])
    assert (400, True) == (wrong.status_code, "no path of a file" in wrong.text), wrong.text


async def test_our_own_api_takes_forms(panel: Panel, launched: dict[str, str]) -> None:
    """Files ahead of a launch, or to a job; and a launch whose files are not there is refused by field."""
    fid = await fid_of(panel, launched)
    two = [("files", ("a.txt", b"a b")), ("files", ("sub/b.txt", b"c"))]

    batch = await panel.call("POST", "/mesh/v1/files", files=two)

    assert (200, ["a.txt", "sub/b.txt"]) == (batch.status_code, batch.json()["files"]), batch.text
    inputs = {"files": batch.json()["batch"]}
    started = await panel.call("POST", "/mesh/v1/jobs", json={"target": "flows/uploading", "inputs": inputs})
    assert 200 == started.status_code, started.text
    name = started.json()["name"]
    listed = (await panel.call("GET", f"/mesh/v1/{name}/files?root=in")).json()["files"]
    assert [f"{name}/files/in/a.txt", f"{name}/files/in/sub/b.txt"] == [file["name"] for file in listed]
    again = await panel.call("POST", "/mesh/v1/jobs", json={"target": "flows/uploading", "inputs": inputs})
    assert 400 == again.status_code
    assert "files" in again.text
    added = await panel.call("POST", f"/mesh/v1/files/{fid}/in", files=two[:1])
    assert [f"jobs/{fid}/files/in/a.txt"] == [file["name"] for file in added.json()["files"]]
    one = await panel.call("GET", f"/mesh/v1/jobs/{fid}/files/in/a.txt")
    assert (200, "3") == (one.status_code, one.json()["size"])
    assert 200 == (await panel.call("DELETE", f"/mesh/v1/jobs/{fid}/files/in/a.txt")).status_code
    assert isinstance(one, httpx.Response)
