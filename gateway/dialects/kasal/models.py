"""Models by Kasal's one name for them (`gpt-4`), where the mesh has a provider and a model."""

from agentmesh_protos.registry.v1 import agent_pb2

_PROVIDERS = {
    "gpt": "openai",
    "chatgpt": "openai",
    "o1": "openai",
    "o3": "openai",
    "o4": "openai",
    "claude": "anthropic",
    "gemini": "google",
    "deepseek": "deepseek",
    "mistral": "mistral",
    "mixtral": "mistral",
    "codestral": "mistral",
    "grok": "xai",
    "llama": "ollama",
    "offline": "offline",
}
"""By the first word of a model's name."""
_UNKNOWN = "custom"


def model_of(text: str) -> agent_pb2.Model | None:
    """Return the model of `gpt-4` or, with its provider, `openai/gpt-4`; None for an empty text."""
    if not text.strip():
        return None
    provider, slash, model = text.strip().partition("/")
    if slash and provider:
        return agent_pb2.Model(provider=provider, model=model)
    return agent_pb2.Model(provider=_provider_of(text), model=text.strip())


def text_of(model: agent_pb2.Model) -> str:
    """Return what `model_of` reads: of a model without a name, as other APIs may make one, its provider."""
    if not model.model:
        return str(model.provider)
    if "/" not in model.model and _provider_of(model.model) == model.provider:
        return str(model.model)
    return f"{model.provider}/{model.model}"


def _provider_of(model: str) -> str:
    first = model.strip().lower().partition("-")[0].partition(":")[0]
    return _PROVIDERS.get(first.rstrip("0123456789.") or first, _PROVIDERS.get(first, _UNKNOWN))
