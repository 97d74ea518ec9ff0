"""A person at the panel: a signed-in HTTP client with the few steps that every test takes."""

import dataclasses
import json
import time
from typing import Any

import httpx

READ_S = 60.0
FINAL = ("finished", "error")


@dataclasses.dataclass(frozen=True, slots=True)
class Sse:
    """One event of a stream: `id:`, `event:` and the `data:` lines joined."""

    id: int
    event: str
    data: str

    @property
    def payload(self) -> str:
        """What follows the time."""
        return self.data.partition(":")[2]

    @property
    def typed(self) -> Any:
        """The payload as JSON."""
        return json.loads(self.payload)


def until_healthy(http: httpx.Client) -> None:
    """Ask until all is well: a service that a busy machine holds up for seconds is said to be away."""
    deadline = time.monotonic() + READ_S
    while (answer := http.get("/health")).status_code != 200:
        assert time.monotonic() < deadline, answer.text


def parse_sse(text: str) -> list[Sse]:
    """Return the events of a stream.  Raises `AssertionError` for anything that is not `id`, `event`, `data`."""
    events = []
    for block in text.replace("\r\n", "\n").split("\n\n"):
        if not block.strip():
            continue
        fields: dict[str, list[str]] = {}
        for line in block.strip("\n").split("\n"):
            name, colon, value = line.partition(":")
            assert colon, f"not a field of an event: {line!r}"
            fields.setdefault(name, []).append(value.removeprefix(" "))
        assert list(fields) == ["id", "event", "data"], block
        events.append(Sse(int(fields["id"][0]), fields["event"][0], "\n".join(fields["data"])))
    return events


class Panel:
    """A signed-in user of the mesh at `url`."""

    def __init__(self, url: str, name: str = "admin", password: str = "admin") -> None:
        self.http = httpx.Client(base_url=url, follow_redirects=True, timeout=READ_S)
        answer = self.http.post("/login", data={"name": name, "password": password})
        assert answer.status_code == 200, answer.text
        self.token = str(answer.json()["KODOSUMI_API_KEY"])
        self.user = str(answer.json()["id"])

    def until_healthy(self) -> None:
        """Wait until every service answers in time."""
        until_healthy(self.http)

    def close(self) -> None:
        """Close the connections."""
        self.http.close()

    def expose(self, name: str, import_path: str, **more: Any) -> dict[str, Any]:
        """Add or replace an expose."""
        answer = self.http.post("/expose/", json={"name": name, "bootstrap": f"import_path: {import_path}", **more})
        assert answer.status_code == 201, answer.text
        return dict(answer.json())

    def boot(self) -> list[str]:
        """Boot, and return the lines it said."""
        return self.lines("POST", "/boot/")

    def deploy(self, apps: dict[str, str], *, read: str = "") -> None:
        """Expose and boot apps, unless they run already: `{expose: import path}`.  They may `read` a folder."""
        paths = f"\npaths: {{read: [{read}]}}" if read else ""
        running = {item["name"]: item for item in self.http.get("/expose/").json() if item["state"] == "RUNNING"}
        if all(f"import_path: {path}{paths}" == running.get(name, {}).get("bootstrap") for name, path in apps.items()):
            return
        for name, path in apps.items():
            self.expose(name, path + paths)
        lines = self.boot()
        states = {item["name"]: item["state"] for item in self.http.get("/expose/").json()}
        assert all(states[name] == "RUNNING" for name in apps), "\n".join(lines)

    def lines(self, method: str, path: str) -> list[str]:
        """Return the non-empty lines of a streamed answer."""
        with self.http.stream(method, path) as answer:
            assert answer.status_code in (200, 201), answer.read()
            return [line for line in answer.iter_lines() if line]

    def flow_url(self, expose: str, path: str = "") -> str:
        """Return the proxy's address of a flow."""
        answer = self.http.get("/flow", params={"pp": 100})
        assert answer.status_code == 200, answer.text
        items = answer.json()["items"]
        wanted = f"/{expose}/-/{path}".rstrip("/")
        found = [item["url"] for item in items if item["url"].rstrip("/").endswith(wanted.rstrip("/"))]
        assert found, f"{wanted} is none of {[item['url'] for item in items]}"
        return str(found[0])

    def launch(self, expose: str, path: str = "", **inputs: Any) -> str:
        """Start a job and return its fid."""
        answer = self.http.post(self.flow_url(expose, path), json=inputs)
        assert answer.status_code == 200, answer.text
        fid = answer.json().get("result")
        assert fid, answer.text
        return str(fid)

    def status(self, fid: str) -> dict[str, Any]:
        """Return a job's status."""
        answer = self.http.get(f"/outputs/status/{fid}")
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def stream(self, fid: str, **headers: str) -> list[Sse]:
        """Follow a job's stream to its end and return the events, without those of the stream itself."""
        answer = self.http.get(f"/outputs/stream/{fid}", headers=headers)
        assert answer.status_code == 200, answer.text
        return [event for event in parse_sse(answer.text) if event.id]

    def wait(self, fid: str, *wanted: str, timeout_s: float = READ_S) -> dict[str, Any]:
        """Follow the stream until the job has a status that is `wanted` (or final), and return its status then."""
        deadline = time.monotonic() + timeout_s
        with self.http.stream("GET", f"/outputs/stream/{fid}") as answer:
            assert answer.status_code == 200, answer.read()
            event = ""
            for line in answer.iter_lines():
                assert time.monotonic() < deadline, f"{fid} was not {wanted or FINAL} after {timeout_s} s"
                name, _, value = line.partition(": ")
                event = value if name == "event" else event
                if name == "data" and event == "status" and value.partition(":")[2] in (wanted or FINAL):
                    break
        return self.status(fid)

    def first(self, fid: str, kind: str) -> Sse:
        """Follow the stream until an event of `kind` comes, and return it."""
        with self.http.stream("GET", f"/outputs/stream/{fid}") as answer:
            assert answer.status_code == 200, answer.read()
            block = ""
            for line in answer.iter_lines():
                if line:
                    block += line + "\n"
                    continue
                for event in parse_sse(block):
                    if event.event == kind:
                        return event
                block = ""
        raise AssertionError(f"{fid} ended without a {kind} event")


def assert_envelope(answer: httpx.Response, *codes: int, path: str | None = None) -> dict[str, Any]:
    """Check that an answer is an error in kodosumi's shape, with one of the status codes; return its body."""
    assert answer.status_code in codes, f"{answer.status_code}: {answer.text[:500]}"
    body = answer.json()
    assert set(body) == {"error", "path", "detail", "status_code"}, body
    assert body["status_code"] == answer.status_code
    assert body["path"] == (path if path is not None else answer.request.url.path)
    assert body["detail"]
    assert "Traceback" not in answer.text
    return dict(body)
