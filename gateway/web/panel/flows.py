"""Flows, and the form that runs one."""

import asyncio
import functools
import json
import shlex
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from agentmesh_protos.registry.v1 import registry_pb2
from agentmesh_protos.runner.v1 import job_pb2
from starlette.responses import HTMLResponse, Response

from gateway.core import forms, jobs, prices
from gateway.core.catalogue import Catalogue
from gateway.core.launch import Answer, Launcher, Place, Refused
from gateway.core.peers import Peers
from gateway.web.health import SERVING, Health
from gateway.web.panel import away, shell, shown
from gateway.web.panel.addresses import naming
from gateway.web.panel.files import PanelFiles
from gateway.web.panel.visitor import Visitor
from meshkit import inputs
from meshkit.errors import Invalid, MeshError, Unavailable, from_rpc

_FLOWS_MAX = 200
_TEXT_BYTES_MAX = 4096
_ASK_S = 5.0
_SECRET = "password"


class Flows:
    """The catalogue, and launches from it."""

    def __init__(self, peers: Peers, health: Health) -> None:
        self._health = health
        self._catalogue = Catalogue(peers)
        self._launcher = Launcher(peers)
        self._files = PanelFiles(peers)
        self._renderer = peers.renderer
        self._jobs = peers.jobs

    async def show(self, visitor: Visitor) -> Response:
        """GET /panel/flows?q=&tag=."""
        query, tag = visitor.query("q"), visitor.query("tag")
        found = await away.within(_ASK_S, self._catalogue.all(query, most=_FLOWS_MAX))
        if not found and (await self._health.states())["runner"] != SERVING:
            raise Unavailable("Which flows there are is not known")  # those of apps that the runner says serve
        tags = sorted({name for flow in found for name in flow.tags})
        flows = [flow for flow in found if not tag or tag in flow.tags]
        cards = [{"flow": flow, "url": run_url(flow.name), "price": prices.offered(flow)} for flow in flows]
        return visitor.page("flows.html", cards=cards, query=query, tag=tag, tags=tags, cut=len(found) >= _FLOWS_MAX)

    async def form(self, visitor: Visitor) -> Response:
        """GET /panel/run/{flow}?from={fid}: the form, with the inputs of an execution of it if one is named."""
        flow = await self._find(visitor)
        answer = await self._form(visitor, flow)
        earlier, last = await asyncio.gather(self._inputs_of(visitor.query("from"), flow), self._last(flow))
        return await self._page(visitor, flow, answer, sent=earlier, filled=earlier is not None, last=last)

    async def launch(self, visitor: Visitor) -> Response:
        """POST /panel/run/{flow}: run it, or show the form again with what is wrong."""
        flow = await self._find(visitor)
        if forms.CANCEL in visitor.form:
            return shell.see_other(shell.HOME)
        answer = await self._form(visitor, flow)
        said = await self._files.sent(visitor, answer.elements or ())
        try:
            job = await self._launcher.start(flow.name, visitor.base_url, forms.inputs(answer.elements or (), said))
        except Refused as error:
            return await self._page(visitor, flow, answer, sent=said, errors=error.fields)
        return shell.see_other(f"/panel/executions/{jobs.id_of(job)}")

    async def check(self, visitor: Visitor) -> Response:
        """POST /panel/check/{flow}: what is wrong so far, as the parts of the form that say it.

        By the schema that the flow declares, as the runner will; what an author's own handler thinks of it is known
        when it is sent.  What is still empty is not wrong yet.
        """
        flow = await self._find(visitor)
        elements = forms.elements_of(flow)
        found: Mapping[str, Sequence[str]] = {}
        if flow.input_schema_json:
            found = await asyncio.to_thread(_problems_of, flow.input_schema_json, forms.inputs(elements, visitor.form))
        wrong = {name: texts for name, texts in found.items() if visitor.form.get(name)}
        fields = [field for field in forms.fields(elements, visitor.form, {}) if field.name]
        return HTMLResponse(shell.render("parts/verdicts.html", fields=fields, wrong=wrong))

    async def _find(self, visitor: Visitor) -> registry_pb2.Flow:
        with naming("flow", "it may be switched off"):
            return await self._catalogue.get(f"flows/{visitor.path('flow').strip('/')}")

    async def _form(self, visitor: Visitor, flow: registry_pb2.Flow) -> Answer:
        place = Place.of(flow)
        answer = await self._launcher.form(place, visitor.base_url)
        if answer.status in (307, 308):  # the app wants a slash at the end
            answer = await self._launcher.form(Place(place.expose, f"{place.path}/"), visitor.base_url)
        if not answer.ok:
            raise Unavailable(f"The app answered {answer.status}: {answer.detail}")
        if answer.elements is None:
            raise Invalid("This flow has no form: it is for programs only.")
        return answer

    async def _last(self, flow: registry_pb2.Flow) -> job_pb2.Job | None:
        """Return the caller's latest execution of a flow."""
        request = job_pb2.ListJobsRequest(targets=[flow.name], page_size=1, text_bytes_max=_TEXT_BYTES_MAX)
        with from_rpc():
            found = await self._jobs.ListJobs(request, timeout=_ASK_S)
        return found.jobs[0] if found.jobs else None

    async def _inputs_of(self, fid: str, flow: registry_pb2.Flow) -> Mapping[str, str] | None:
        if not jobs.is_id(fid):
            return None
        try:
            with from_rpc():
                job = await self._jobs.GetJob(job_pb2.GetJobRequest(name=f"jobs/{fid}"), timeout=_ASK_S)
        except MeshError:  # it was deleted meanwhile: the form is shown as it is
            return None
        if job.flow != flow.name:
            return None
        return {name: _as_sent(value) for name, value in jobs.json_object(job.inputs_json).items()}

    async def _page(
        self,
        visitor: Visitor,
        flow: registry_pb2.Flow,
        answer: Answer,
        *,
        sent: Mapping[str, str] | None,
        errors: Mapping[str, list[str]] | None = None,
        filled: bool = False,
        last: job_pb2.Job | None = None,
    ) -> Response:
        elements, errors = _without_title(answer.elements or [], flow.summary), errors or {}
        fields = await fields_of(self._renderer, elements, sent, errors)
        return visitor.page(
            "run.html",
            status=422 if errors else 200,
            csp=shell.WRITTEN_CSP,
            flow=flow,
            price=prices.offered(flow),
            about="" if _is_said(flow.description, elements) else flow.description,
            fields=[field for field in fields if field.kind != "button"],
            problems=problems(elements, errors),
            filled=filled,
            last=last,
            last_fid=jobs.id_of(last) if last is not None else "",
            checks=_checks(flow, fields),
            sends=any(field.kind == "file" for field in fields),
            ways=_ways(visitor.base_url, flow.name, _example(elements)),
        )


def _checks(flow: registry_pb2.Flow, fields: Sequence[forms.Field]) -> str:
    """Return where a form is checked as somebody types; empty for nowhere, as where each time files would be sent."""
    if not flow.input_schema_json or any(field.kind == "file" for field in fields):
        return ""
    return f"/panel/check/{quote(flow.name.removeprefix('flows/'))}"


async def fields_of(
    renderer: Any,
    elements: Sequence[Mapping[str, Any]],
    sent: Mapping[str, str] | None,
    errors: Mapping[str, list[str]],
) -> list[forms.Field]:
    """Return the fields of a form with what its author wrote between them, as HTML that is safe."""
    written = forms.written(elements)
    rendered = await renderer.all([*written.values()])
    fragments = {number: shown.written(text) for number, text in zip(written, rendered, strict=True)}
    return forms.fields(elements, sent, errors, fragments)


def problems(elements: Sequence[Mapping[str, Any]], errors: Mapping[str, list[str]]) -> list[str]:
    """Return what to say above a form: what concerns no field of it, and that there are fields to see to."""
    names = {element.get("name") for element in elements}
    texts = [text for name, found in errors.items() if name not in names for text in found]
    wrong = sum(1 for name, found in errors.items() if name in names and found)
    if wrong:
        texts.append("One field needs another look." if wrong == 1 else f"{wrong} fields need another look.")
    return texts


def _problems_of(schema_json: str, sent: Mapping[str, Any]) -> Mapping[str, Sequence[str]]:
    try:
        inputs.check(_compiled(schema_json), sent)
    except Invalid as error:
        return error.fields
    return {}


_compiled = functools.lru_cache(maxsize=256)(inputs.compile_schema)


def _without_title(elements: Sequence[Mapping[str, Any]], title: str) -> list[Mapping[str, Any]]:
    """Return a form without a first heading that says what the page's says."""
    if not elements or elements[0].get("type") != "markdown":
        return list(elements)
    heading, _, rest = str(elements[0].get("text")).lstrip().partition("\n")
    if heading.strip() != f"# {title}":
        return list(elements)
    return [{**elements[0], "text": rest}, *elements[1:]]


def _is_said(text: str, elements: Sequence[Mapping[str, Any]]) -> bool:
    """Return whether a form says a text itself."""
    wanted = " ".join(text.split())
    return any(wanted in " ".join(said.split()) for _, said in forms.written(elements).values())


def run_url(flow: str) -> str:
    """Return where a flow is run."""
    return f"/panel/run/{quote(flow.removeprefix('flows/'))}"


def _as_sent(value: Any) -> str:
    """Return an input as a form sends it."""
    if isinstance(value, bool):
        return "on" if value else ""
    return value if isinstance(value, str) else "" if value is None else json.dumps(value, ensure_ascii=False)


def _example(elements: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return inputs to begin with: the form's own values, and no secrets."""
    named = [element for element in elements if element.get("type") not in ("submit", "cancel", "action", "file")]
    return {
        str(element["name"]): "" if element.get("type") == _SECRET else _value(element)
        for element in named
        if element.get("name")
    }


def _value(element: Mapping[str, Any]) -> Any:
    if element.get("type") == "boolean":
        return bool(element.get("value"))
    options = [option for option in element.get("option") or () if isinstance(option, dict)]
    if element.get("type") in ("select", "radio") and options:
        return next((option for option in options if option.get("value")), options[0]).get("name")
    return element.get("value") if element.get("value") is not None else ""


def _ways(base_url: str, flow: str, example: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Return how else the flow is run: id, title, text."""
    body = json.dumps({"target": flow, "inputs": example}, ensure_ascii=False, indent=2)
    given = json.dumps(example, ensure_ascii=False)
    address = f"{base_url}/mesh/v1/jobs"
    curl = f'curl {address} \\\n  -H "Authorization: Bearer $TOKEN" \\\n  --json {shlex.quote(body)}'
    python = (
        "import os\nimport httpx\n\n"
        f"answer = httpx.post(\n    {address!r},\n"
        '    headers={"Authorization": f"Bearer {os.environ[\'TOKEN\']}"},\n'
        f"    json={ {'target': flow, 'inputs': dict(example)}!r},\n)\n"
        'print(answer.raise_for_status().json()["name"])'
    )
    command = f"agentmesh run {shlex.quote(flow.removeprefix('flows/'))} --inputs {shlex.quote(given)}"
    return [("curl", "As curl", curl), ("python", "As Python", python), ("cli", "As a command", command)]
