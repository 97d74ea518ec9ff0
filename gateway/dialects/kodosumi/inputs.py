"""Forms as pages: shown, taken, shown again with what is wrong.  Flows' at `/inputs/-/…`, locks' at `/inputs/lock/…`.

Source: panel API document, "Launch" ("kodosumi rendering engine translates all inputs elements into a form").
"""

import html
from collections.abc import Mapping, Sequence
from typing import Any

from agentmesh_protos.dialects.kodosumi.v1 import outputs_pb2 as pb
from agentmesh_protos.dialects.kodosumi.v1 import outputs_pb2_grpc as pb_grpc
from google.api import httpbody_pb2

from gateway.core import forms, jobs, locks, prices
from gateway.core.catalogue import Catalogue
from gateway.core.files import Files
from gateway.core.launch import Answer, Launcher, NotLaunched, Place, Refused
from gateway.core.peers import Peers
from gateway.dialects.kodosumi import flow_urls
from gateway.dialects.kodosumi.html import html_answer, page
from gateway.http import bodies, untrusted
from gateway.http.answers import redirect
from gateway.http.dialect import Service
from gateway.http.errors import http_status
from gateway.http.exchange import exchange
from meshkit.errors import MeshError, NotFound


class InputsServicer(pb_grpc.InputsServiceServicer):
    """Unpack, ask the app, render."""

    def __init__(self, peers: Peers) -> None:
        self._launcher = Launcher(peers)
        self._locks = locks.Locks(peers)
        self._catalogue = Catalogue(peers)
        self._files = Files(peers)
        self._renderer = peers.renderer

    async def GetForm(self, request: pb.GetFormRequest, context: Any) -> httpbody_pb2.HttpBody:
        """Show a flow's form."""
        place = _place(request.proxy_path)
        try:
            answer = await self._form(place)
        except MeshError as error:
            return _trouble(error)
        if not answer.ok:
            return _refused(answer.status, answer.detail)
        if answer.elements is None:
            return _foreign(answer)
        return await self._page(
            answer.elements, _title(answer), price=prices.offered(await self._catalogue.find(place.flow))
        )

    async def PostForm(self, request: pb.PostFormRequest, context: Any) -> httpbody_pb2.HttpBody:
        """Take a flow's form: cancel, launch, or show it again."""
        sent, files = bodies.parse_sent(request.form_body)
        if forms.CANCEL in sent:
            return redirect("/")
        place = _place(request.proxy_path)
        try:
            form = await self._form(place)
            sent = await self._files.send_form(form.elements or (), sent, files)
            inputs = forms.inputs(form.elements or (), sent)
            job = await self._launcher.start(place.flow, exchange().base_url, inputs)
        except Refused as error:
            price = prices.offered(await self._catalogue.find(place.flow))
            return await self._page(form.elements or (), _title(form), sent, error.fields, price=price)
        except NotLaunched as error:
            return _refused(error.status, str(error))
        except MeshError as error:
            return _trouble(error)
        return redirect(f"/outputs/html/{jobs.id_of(job)}")

    async def GetLockForm(self, request: pb.GetLockFormRequest, context: Any) -> httpbody_pb2.HttpBody:
        """Show the form of a lock."""
        try:
            lock = await self._locks.get(request.fid, request.lid)
            if lock.state != locks.PENDING:
                raise NotFound(locks.gone(lock), resource="locks")
        except MeshError as error:
            return _trouble(error)
        return await self._page(locks.elements_of(lock), lock.title, sends=False)

    async def PostLockForm(self, request: pb.PostLockFormRequest, context: Any) -> httpbody_pb2.HttpBody:
        """Take the form of a lock: cancel, answer, or show it again."""
        sent = bodies.parse_form(request.form_body)
        execution = f"/outputs/html/{request.fid}"
        try:
            lock = await self._locks.get(request.fid, request.lid)
            if forms.CANCEL in sent:
                return redirect(execution)
            elements = locks.elements_of(lock)
            try:
                await self._locks.answer(lock, forms.inputs(elements, sent))
            except locks.Refused as error:
                return await self._page(elements, lock.title, sent, error.fields, sends=False)
        except MeshError as error:
            return _trouble(error)
        return redirect(execution)

    async def _form(self, place: Place) -> Answer:
        answer = await self._launcher.form(place, exchange().base_url)
        if answer.status in (307, 308):  # the app wants the slash that was stripped on the way
            answer = await self._launcher.form(Place(place.expose, f"{place.path}/"), exchange().base_url)
        return answer

    async def _page(
        self,
        elements: Sequence[Mapping[str, Any]],
        title: str,
        sent: Mapping[str, str] | None = None,
        errors: Mapping[str, list[str]] | None = None,
        *,
        price: str = "",
        sends: bool = True,
    ) -> httpbody_pb2.HttpBody:
        """Return a form as a page; with `sent`, as it was sent and with `errors` at its fields.

        `sends` says whether files can be sent with it.
        """
        errors = errors or {}
        written = forms.written(elements)
        rendered = await self._renderer.all([*written.values()])
        form = page(
            "form.html",
            title=title,
            show_title=not _has_heading(elements),
            action=exchange().path,
            price=price,
            sends=sends and any(element.get("type") == "file" for element in elements),
            problems=_problems(elements, errors),
            fields=forms.fields(elements, sent, errors, dict(zip(written, rendered, strict=True))),
        )
        return html_answer(form)


def _place(proxy_path: str) -> Place:
    sent = exchange().path.removeprefix("/inputs")
    expose, path = flow_urls.split(sent or f"/-/{proxy_path}")
    return Place(expose, path.rstrip("/") or "/")


def _title(form: Answer) -> str:
    return str(form.json.get("summary") or "Flow")


def _has_heading(elements: Sequence[Mapping[str, Any]]) -> bool:
    """Return whether the form brings its own title."""
    return any(item.get("type") == "markdown" and str(item.get("text")).lstrip().startswith("# ") for item in elements)


def _problems(elements: Sequence[Mapping[str, Any]], errors: Mapping[str, list[str]]) -> list[str]:
    """Return what to say above the form: what concerns no field of it, and, if only fields are wrong, that they are."""
    names = {element.get("name") for element in elements}
    texts = [text for name, found in errors.items() if name not in names for text in found]
    if not texts and any(errors.values()):
        texts = ["Please see the marked fields."]
    return texts


def _trouble(error: MeshError) -> httpbody_pb2.HttpBody:
    exchange().status = http_status(error)
    return html_answer(page("message.html", title="This form is not available", message=str(error)))


def _refused(status: int, detail: str) -> httpbody_pb2.HttpBody:
    """Say that the app failed, with the app's status."""
    exchange().status = status if status >= 400 else 502
    title = "Server Error" if status >= 500 else "The app refuses this"
    return html_answer(page("message.html", title=title, message=f"{status}: {detail}"))


def _foreign(answer: Answer) -> httpbody_pb2.HttpBody:
    """Pass on a page that the app made itself; what is no page is shown as text."""
    if answer.content_type.partition(";")[0].strip().lower() == "text/html":
        return html_answer(answer.body, untrusted.SANDBOX)
    return html_answer(f"<!doctype html><pre>{html.escape(answer.body.decode(errors='replace'))}</pre>".encode())


SERVICE = Service(
    name="mesh.dialects.kodosumi.v1.InputsService",
    add=pb_grpc.add_InputsServiceServicer_to_server,
    servicer=InputsServicer,
)
