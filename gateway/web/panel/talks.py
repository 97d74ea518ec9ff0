"""A talk with an agent: what was said, and what is being said."""

import asyncio
import json
import time
from collections.abc import AsyncGenerator
from typing import Any

import markupsafe
from agentmesh_protos.registry.v1 import agent_pb2
from agentmesh_protos.runner.v1 import conversation_pb2, job_pb2
from starlette.responses import Response

from gateway.core import jobs, states
from gateway.core.peers import Peers
from gateway.core.watches import Batch
from gateway.web.panel import shell, shown
from gateway.web.panel.addresses import naming
from gateway.web.panel.live import PAUSE_S, Follower
from gateway.web.panel.visitor import Visitor
from meshkit.errors import Invalid, from_rpc

_ASK_S = 10.0
_LOOK_S = 1.0
_TALKS = 30
_PAGE = 100
_MESSAGES_MAX = 300
_TITLE_CHARS_MAX = 80
_SAID_CHARS_MAX = 200_000
"""Of an answer that is being given: its end is shown, and all of it when it is there."""


class Talks:
    """The caller's conversations with an agent."""

    def __init__(self, peers: Peers) -> None:
        self._conversations = peers.conversations
        self._jobs = peers.jobs
        self._watches = peers.watches
        self._renderer = peers.renderer

    async def listed(self, agent: agent_pb2.Agent) -> list[dict[str, Any]]:
        """Return the latest ones."""
        request = conversation_pb2.ListConversationsRequest(page_size=_TALKS, target=agent.name)
        with from_rpc():
            found = await self._conversations.ListConversations(request, timeout=_ASK_S)
        return [{"talk": talk, "id": _id(talk)} for talk in found.conversations]

    async def get(self, talk_id: str) -> conversation_pb2.Conversation:
        """Return one of the caller's.  Raises `NotFound`."""
        request = conversation_pb2.GetConversationRequest(name=f"conversations/{talk_id}")
        with naming("conversation"):
            found: conversation_pb2.Conversation = await self._conversations.GetConversation(request, timeout=_ASK_S)
        return found

    async def say(self, visitor: Visitor, agent: agent_pb2.Agent, talk_id: str) -> Response:
        """Say something to an agent, in a conversation or in a new one, and show it."""
        prompt = visitor.form.get("prompt", "").strip()
        if not prompt:
            raise Invalid("Nothing was said.")
        if talk_id:
            talk = await self.get(talk_id)
        else:
            asked = conversation_pb2.Conversation(title=prompt[:_TITLE_CHARS_MAX], active=True)
            with from_rpc():
                talk = await self._conversations.CreateConversation(
                    conversation_pb2.CreateConversationRequest(conversation=asked), timeout=_ASK_S
                )
        request = job_pb2.CreateJobRequest(
            target=agent.name,
            inputs_json=json.dumps({"prompt": prompt}),
            conversation=talk.name,
            base_url=visitor.base_url,
        )
        with from_rpc():
            await self._jobs.CreateJob(request, timeout=_ASK_S)
        return shell.see_other(f"/panel/{agent.name}/chat/{_id(talk)}#say")

    async def values(self, talk: conversation_pb2.Conversation, said: str = "") -> dict[str, Any]:
        """Return what the part of the page shows; `said` of an answer that is being given."""
        messages, job = await asyncio.gather(self._messages(talk), self._last_job(talk))
        going_on = job is not None and job.state not in states.TERMINAL
        rendered = await self._renderer.all(
            [("typed", json.dumps({"Markdown": {"body": each.content}})) for each in messages if not _is_mine(each)]
        )
        answers = iter(rendered)
        rows = [
            {
                "mine": _is_mine(each),
                "html": markupsafe.escape(each.content) if _is_mine(each) else shown.written(next(answers)),
                "fid": each.job.removeprefix("jobs/"),
                "index": each.index,
            }
            for each in messages
        ]
        failed = job is not None and job.state in states.TERMINAL and job.state != states.SUCCEEDED
        return {
            "messages": rows,
            "going_on": going_on,
            "said": said[-_SAID_CHARS_MAX:] if going_on else "",
            "fid": jobs.id_of(job) if job is not None else "",
            "asks": going_on and job is not None and bool(job.locks),
            "failure": jobs.failure(job) if failed and job is not None else "",
            "job": job if going_on else None,
        }

    async def parts(self, talk: conversation_pb2.Conversation) -> AsyncGenerator[str, None]:
        """Yield the part whenever something is said, word for word while an answer is given."""
        last = ""
        while True:
            values = await self.values(talk)
            now = shell.render("parts/chat.html", **values)
            if now != last:
                yield now
                last = now
            job = values["job"]
            if job is None:
                await asyncio.sleep(_LOOK_S)
                continue
            answer = Answer()
            follower = Follower(self._watches.follow(job, 0), answer.take)
            try:
                while not follower.over:
                    follower.caught_up()
                    now = shell.render("parts/chat.html", **{**values, "said": answer.text[-_SAID_CHARS_MAX:]})
                    if now != last:
                        yield now
                        last = now
                    await asyncio.sleep(PAUSE_S)
                    await follower.moved()
                    if answer.waits != values["asks"]:  # somebody is asked, or has answered
                        break
            finally:
                await follower.close()
            await asyncio.sleep(PAUSE_S)

    async def _messages(self, talk: conversation_pb2.Conversation) -> list[conversation_pb2.Message]:
        """Return the messages, the last ones of a long conversation."""
        found: list[conversation_pb2.Message] = []
        token, until = "", time.monotonic() + _ASK_S
        while time.monotonic() < until:
            request = conversation_pb2.ListMessagesRequest(parent=talk.name, page_size=_PAGE, page_token=token)
            with from_rpc():
                page = await self._conversations.ListMessages(request, timeout=_ASK_S)
            found = [*found, *page.messages][-_MESSAGES_MAX:]
            if not (token := page.next_page_token):
                break
        return found

    async def _last_job(self, talk: conversation_pb2.Conversation) -> job_pb2.Job | None:
        request = job_pb2.ListJobsRequest(conversation=talk.name, page_size=1, text_bytes_max=4096)
        with from_rpc():
            found = await self._jobs.ListJobs(request, timeout=_ASK_S)
        return found.jobs[0] if found.jobs else None


class Answer:
    """What a model has said so far."""

    def __init__(self) -> None:
        self._spans: dict[str, str] = {}
        self.waits = False
        """Whether somebody is asked for something."""

    @property
    def text(self) -> str:
        """All of it, each call of the model on lines of its own."""
        return "\n".join(text for text in self._spans.values() if text)

    def take(self, batch: Batch) -> None:
        """Take in what happened."""
        for event in batch.events:
            if event.kind in ("lock", "lease"):
                self.waits = event.kind == "lock"
            if event.kind != "token":
                continue
            said = jobs.json_object(event.payload)
            span = str(said.get("span", ""))
            before = "" if said.get("reset") else self._spans.get(span, "")
            self._spans[span] = (before + str(said.get("text", "")))[-_SAID_CHARS_MAX:]


def _id(talk: conversation_pb2.Conversation) -> str:
    return talk.name.removeprefix("conversations/")


def _is_mine(message: conversation_pb2.Message) -> bool:
    return message.role == conversation_pb2.MESSAGE_ROLE_USER
