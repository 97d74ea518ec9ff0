"""Which model answers: a provider's, or the offline model where none can be reached."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from urllib.parse import urlsplit

import httpx2
from agentmesh_protos.registry.v1 import agent_pb2
from pydantic_ai.models import Model

from agentmesh.engine import guard, offline

SILENT_S = 120.0
"""How long a provider may be silent."""
ANSWER_S = 900.0
"""How long one answer may take."""
_ENDPOINTS = {
    "anthropic": "https://api.anthropic.com",
    "deepseek": "https://api.deepseek.com/v1",
    "gemini": "https://generativelanguage.googleapis.com/v1beta/openai",
    "google": "https://generativelanguage.googleapis.com/v1beta/openai",
    "groq": "https://api.groq.com/openai/v1",
    "mistral": "https://api.mistral.ai/v1",
    "openai": "https://api.openai.com/v1",
    "openrouter": "https://openrouter.ai/api/v1",
    "together": "https://api.together.xyz/v1",
    "xai": "https://api.x.ai/v1",
}
"""Of providers, by the names people use; all but Anthropic speak OpenAI's API."""
_DEFAULTS = {"openai": "gpt-4o-mini", "anthropic": "claude-3-5-haiku-latest"}
_NO_KEY = "none"
"""Sent to endpoints of an operator's own that want no key."""


@contextlib.asynccontextmanager
async def opened(model: agent_pb2.Model, key: str, *, private: bool) -> AsyncIterator[Model]:
    """Yield the model for the length of the block; `private` lets it be at an address that is not the Internet's."""
    provider = model.provider.strip().lower()
    name = model.model or _DEFAULTS.get(provider, "")
    endpoint = model.endpoint or _ENDPOINTS.get(provider, "")
    if provider == offline.NAME or not _is_reachable(provider, model.endpoint, key) or not name:
        yield offline.model(name or offline.NAME, _reason(provider, name, model.endpoint))
        return
    # A second or more of work for the interpreter: not on the loop that other jobs share.
    make = await asyncio.to_thread(_anthropic if provider == "anthropic" else _openai)
    async with guard.client(private=private, timeout_s=SILENT_S) as http:
        yield make(name, key or _NO_KEY, endpoint, http)


Make = Callable[[str, str, str, httpx2.AsyncClient], Model]
"""Returns the model of a name, with a key, at an endpoint, by a client."""


def _openai() -> Make:
    """Import what OpenAI's API needs."""
    from openai import AsyncOpenAI
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai import OpenAIProvider

    def make(name: str, key: str, endpoint: str, http: httpx2.AsyncClient) -> Model:
        # Retries are ours (`recorded`): they are counted, and seen in the trace.
        client = AsyncOpenAI(api_key=key, base_url=endpoint, http_client=http, max_retries=0)
        return OpenAIChatModel(name, provider=OpenAIProvider(openai_client=client))

    return make


def _anthropic() -> Make:
    """Import what Anthropic's API needs."""
    from anthropic import AsyncAnthropic
    from pydantic_ai.models.anthropic import AnthropicModel
    from pydantic_ai.providers.anthropic import AnthropicProvider

    def make(name: str, key: str, endpoint: str, http: httpx2.AsyncClient) -> Model:
        client = AsyncAnthropic(api_key=key, base_url=endpoint, http_client=http, max_retries=0)
        return AnthropicModel(name, provider=AnthropicProvider(anthropic_client=client))

    return make


def _is_reachable(provider: str, endpoint: str, key: str) -> bool:
    """Return whether there is somebody to ask: an endpoint of one's own, or a known provider and a key for it."""
    return bool(endpoint) or (bool(key) and provider in _ENDPOINTS)


def described(model: agent_pb2.Model) -> dict[str, str]:
    """Return what a trace says of a model."""
    host = urlsplit(model.endpoint).netloc if model.endpoint else ""
    return {"provider": model.provider or offline.NAME, "model": model.model or offline.NAME, "endpoint": host}


def _reason(provider: str, name: str, endpoint: str) -> str:
    if provider in ("", offline.NAME):
        return offline.NOTICE
    if not name and endpoint:
        return f"[offline model] No model is named for {provider}, so this answer was made without a language model."
    return (
        f"[offline model] No key is configured for {provider}{'/' + name if name else ''}, so this answer was made "
        "without a language model."
    )
