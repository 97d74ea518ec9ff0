"""Which model answers for an agent: its provider's, or the offline one, and why that.

It says what `agentmesh.engine.models` will do, which runs where the agent does: a test holds the two together.
"""

from agentmesh_protos.registry.v1 import agent_pb2

OFFLINE = "offline"
PROVIDERS = ("anthropic", "deepseek", "gemini", "google", "groq", "mistral", "openai", "openrouter", "together", "xai")
"""Whose address is known: others need an endpoint."""
_WITH_DEFAULT = ("openai", "anthropic")
"""Of whom no model need be named."""


def why_offline(model: agent_pb2.Model, has_key: bool) -> str:
    """Return why the offline model answers in place of this one, for people; empty if it does not."""
    provider = model.provider.strip().lower()
    if provider == OFFLINE:
        return "It was chosen: it needs no key and no network, and writes no text of its own."
    if not provider and not model.endpoint:
        return "No model is named."
    if not model.endpoint and provider not in PROVIDERS:
        return f"Where {model.provider} is reached is not known: it needs an endpoint."
    if not model.endpoint and not has_key:
        return f"No key for {model.provider} is kept."
    if not model.model and provider not in _WITH_DEFAULT:
        return f"No model of {model.provider or 'the endpoint'} is named."
    return ""


def title_of(model: agent_pb2.Model) -> str:
    """Return what a model is called: `openai/gpt-4o`."""
    return "/".join(part for part in (model.provider, model.model) if part) or "no model"
