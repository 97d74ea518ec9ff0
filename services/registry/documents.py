"""YAML in and out: what operators write about an app (bootstrap) and about its flows (meta).

Texts are read with PyYAML's safe loader in pure Python, where one nested too deeply is an error and not a crash.
"""

import functools
import itertools
import json
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from meshkit.errors import Invalid
from services.registry.domain import bounds, keys, prices
from services.registry.domain.deploying import Isolation, Plan
from services.registry.domain.exposes import Definition, FoundFlow
from services.registry.domain.flows import About

TEXT_MAX = 64 * 1024
"""Characters of one YAML text."""
_ALL_TEXTS_MAX = 4 * 1024 * 1024
"""Characters of all meta texts of an expose."""
_PATH = "import_path"
_PROBLEMS_MAX = 10
_NODES_MAX = 20_000
"""Values a text may stand for once its aliases are followed: ten short lines of YAML can stand for billions."""


class Loader(yaml.SafeLoader):
    """The safe loader, with an end to merges: `<<: [*a, *a]` over a few lines would stand for billions of entries."""

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        super().flatten_mapping(node)
        if len(node.value) > _NODES_MAX:
            raise yaml.constructor.ConstructorError(None, None, "merges (`<<`) stand for too much", node.start_mark)


def check(definition: Definition) -> Invalid | None:
    """Raise `Invalid`, with field, line and column, if a text of the definition is not YAML.

    Return the error for keys of its bootstrap that nobody knows, and for an import path that can be none: one that is
    kept already may have such.  What else a bootstrap says is not checked: it is judged by the boot.
    """
    if sum(len(entry.data) for entry in definition.meta or ()) > _ALL_TEXTS_MAX:
        raise Invalid("meta data are too long", {"expose.meta": [f"at most {_ALL_TEXTS_MAX} characters together"]})
    document = _load(definition.bootstrap, "expose.bootstrap", "bootstrap")
    for index, entry in enumerate(definition.meta or ()):
        _load(entry.data, f"expose.meta[{index}].data", f"meta data of {entry.url}")
    wrong = [(key.path, str(key)) for key in itertools.islice(keys.unknown(document), _PROBLEMS_MAX)]
    if problem := _no_path(document.get(_PATH) if isinstance(document, dict) else None):
        wrong = [((_PATH,), problem), *wrong]
    if not wrong:
        return None
    root = yaml.compose(definition.bootstrap, Loader)
    found = [f"{_where(root, path)}{text}" for path, text in wrong]
    return Invalid(f"bootstrap: {found[0]}", {"expose.bootstrap": found})


def _no_path(value: Any) -> str:
    """Return why a value can be no import path, as `agentmesh` loads it; empty if it can, or there is none."""
    if value is None or (isinstance(value, str) and not value.strip()):
        return ""
    module, _, attribute = value.strip().partition(":") if isinstance(value, str) else ("", "", "")
    if all(part.isidentifier() for part in (*module.split("."), *attribute.split("."))):
        return ""
    named = f"{_PATH} {value.strip()[:80]!r}" if isinstance(value, str) else _PATH  # what a list stands for has no end
    return f"{named} must look like package.module:attribute"


def _where(node: yaml.Node | None, path: Sequence[str | int]) -> str:
    """Return where in a text a key stands, for people: `line 3, column 1: `; empty if it stands there by a merge."""
    mark = None
    for part in path:
        if isinstance(part, int):
            node = node.value[part] if isinstance(node, yaml.SequenceNode) else None
            continue
        pairs = node.value if isinstance(node, yaml.MappingNode) else ()
        key, node = next(((key, inner) for key, inner in pairs if key.value == part), (None, None))
        mark = None if key is None else key.start_mark
    return "" if mark is None else f"line {mark.line + 1}, column {mark.column + 1}: "


def notes(bootstrap: str, *, on_ray: bool) -> list[str]:
    """Return what of a bootstrap is without effect, for people to read: keys that are unknown, or not for this mesh."""
    document = _load(bootstrap, "bootstrap", "bootstrap")
    unknown = (f"{key} (it has no effect)" for key in keys.unknown(document))
    return list(itertools.islice((*unknown, *keys.idle(document, on_ray=on_ray)), _PROBLEMS_MAX))


def plan(bootstrap: str) -> Plan:
    """Return what to deploy; raise `Invalid`, saying what is missing and how to give it."""
    document = _plain(_load(bootstrap, "bootstrap", "bootstrap"))
    if not isinstance(document, dict):
        raise Invalid("bootstrap must be a YAML mapping with import_path: package.module:attribute")
    import_path = document.get(_PATH)
    if not isinstance(import_path, str) or not import_path.strip():
        hint = " (give one application, not a list of `applications`)" if "applications" in document else ""
        raise Invalid(f"bootstrap has no import_path: add import_path: package.module:attribute{hint}")
    if problem := _no_path(import_path):
        raise Invalid(f"bootstrap: {problem}")
    deployments = document.get("deployments") or []
    if not isinstance(deployments, list):
        raise Invalid("deployments of the bootstrap must be a list")
    runtime_env = _runtime_env(document.get("runtime_env"), "runtime_env")
    for number in reversed(range(len(deployments))):  # a host stands for them all: the first has the last word
        runtime_env, deployments[number] = _of_actor(deployments[number], runtime_env, number)
    fork = document.get("fork")
    if fork is not None and not isinstance(fork, bool):
        raise Invalid("fork of the bootstrap must be true or false")
    return Plan(
        import_path=import_path.strip(),
        runtime_env_json=json.dumps(runtime_env),
        deployments_json=json.dumps(deployments),
        fork=fork,
        isolation=_isolation(document.get("isolation")),
        bounds=bounds.read(document),
    )


def _of_actor(deployment: Any, runtime_env: dict[str, Any], number: int) -> tuple[dict[str, Any], Any]:
    """Return a `runtime_env` with that of a deployment's actor over it, as Ray has it, and the deployment without.

    Variables are secret: they are in one place, which is sealed.
    """
    options = deployment.get("ray_actor_options") if isinstance(deployment, dict) else None
    if not isinstance(options, dict) or "runtime_env" not in options:
        return runtime_env, deployment
    own = _runtime_env(options["runtime_env"], f"deployments[{number}].ray_actor_options.runtime_env")
    merged = {**runtime_env, **own}
    if variables := [env["env_vars"] for env in (runtime_env, own) if env.get("env_vars")]:
        merged["env_vars"] = {name: value for each in variables for name, value in each.items()}
    kept = {name: value for name, value in options.items() if name != "runtime_env"}
    return merged, {**deployment, "ray_actor_options": kept}


def _runtime_env(value: Any, name: str) -> dict[str, Any]:
    runtime_env = value or {}
    if not isinstance(runtime_env, dict):
        raise Invalid(f"{name} of the bootstrap must be a mapping, such as env_vars: {{NAME: value}}")
    if not isinstance(runtime_env.get("env_vars") or {}, dict):
        raise Invalid(f"{name}.env_vars of the bootstrap must map names to values")
    return runtime_env


def _isolation(value: Any) -> Isolation | None:
    if value is None:
        return None
    for isolation in Isolation:
        if value == isolation.name.lower():
            return isolation
    raise Invalid(
        "isolation of the bootstrap must be process (each job is a process of its own) or shared (jobs are tasks in "
        "one process)"
    )


@functools.lru_cache(maxsize=4096)
def about(text: str) -> About:
    """Return what a meta text says about its flow; a text that says nothing usable is empty, not an error."""
    try:
        document = _load(text, "data", "meta data")
    except Invalid:
        return About()
    if not isinstance(document, dict):
        return About()
    author = document.get("author")
    if not isinstance(author, Mapping):
        author = {"name": author}
    return About(
        display=_text(document.get("display")),
        description=_text(document.get("description")),
        tags=_tags(document.get("tags")),
        author=_text(author.get("name")),
        organization=_text(author.get("organization")),
        agent_identifier=_text(document.get("agentIdentifier")),
        amounts=_amounts(document.get("agentPricing")),
        public=_flag(document.get("public")),
    )


def template(flow: FoundFlow) -> str:
    """Return a first meta text for a flow: what its author said, and comments on what may be added."""
    tags = "".join(f"\n  - {_scalar(tag)}" for tag in flow.tags) or "\n  # - example-tag"
    return f"""\
# Display name of the flow
display: {_scalar(flow.summary or "Unnamed Flow")}

# What the flow does
description: {_scalar(flow.description or "No description provided")}

# For search and grouping
tags:{tags}

# Who is behind it
author:
  name: {_scalar(flow.author)}
  organization: {_scalar(flow.organization)}
  contact_email: ~
  contact_other: ~

# Results to show before a run
# example_output:
#   - name: sample
#     mime_type: application/json
#     url: https://example.com/sample.json

# capability:
#   name: my-capability
#   version: 1.0.0

# legal:
#   privacy_policy: https://example.com/privacy
#   terms: https://example.com/terms
#   other: https://example.com/more

# Price of a run; amounts of lovelace are strings
# agentPricing:
#   - pricingType: Fixed
#     fixedPricing:
#       - amount: "1000000"
#         unit: lovelace

# Set once the agent is registered; runs are then paid through the expose's network
# agentIdentifier: ~

# Whether anybody may run it without a login, under /mip003; by default a flow with an agentIdentifier
# public: true

# image: https://example.com/preview.png
"""


def _load(text: str, field: str, what: str) -> Any:
    if len(text) > TEXT_MAX:
        raise Invalid(f"{what} is too long", {field: [f"at most {TEXT_MAX} characters"]})
    try:
        return yaml.load(text, Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark is not None else ""
        problem = error.problem or error.context or "cannot be read"
        raise Invalid(f"{what} is not valid YAML: {where}{problem}", {field: [f"{where}{problem}"]}) from None
    except yaml.reader.ReaderError as error:
        line, column = _line_and_column(text, int(error.position))
        problem = f"line {line}, column {column}: the character {error.character!r} is not allowed"
        raise Invalid(f"{what} is not valid YAML: {problem}", {field: [problem]}) from None
    except RecursionError:
        raise Invalid(f"{what} is nested too deeply", {field: ["use fewer levels"]}) from None
    except (ValueError, TypeError, LookupError, AttributeError, OverflowError) as error:
        # The loader's own slips on scalars such as 2024-13-45 or `!!bool maybe`.
        problem = f"a value cannot be read ({error}): put it in quotes"
        raise Invalid(f"{what} is not valid YAML: {problem}", {field: [problem]}) from None


def _line_and_column(text: str, position: int) -> tuple[int, int]:
    before = text[:position]
    return before.count("\n") + 1, position - before.rfind("\n")


def _plain(document: Any) -> Any:
    """Return the document as JSON can hold it, with aliases followed; raise `Invalid` if it stands for too much."""
    left = _NODES_MAX

    def copy(value: Any) -> Any:
        nonlocal left
        left -= 1
        if left < 0:
            raise Invalid("bootstrap stands for too many values: use fewer aliases (`*name`)")
        if isinstance(value, dict):
            return {str(key): copy(item) for key, item in value.items()}
        if isinstance(value, list | set | tuple):
            return [copy(item) for item in value]
        if value is None or isinstance(value, bool | int | float | str):
            return value
        return str(value)  # dates and binary

    try:
        return copy(document)
    except RecursionError:
        raise Invalid("bootstrap contains itself: an alias (`*name`) is used inside its own anchor") from None


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, dict | list):
        return None
    return str(value).strip() or None


def _flag(value: Any) -> bool | None:
    """Return a switch as it is written; one that cannot be read is off."""
    return None if value is None else value is True or str(value).strip().lower() == "true"


def _tags(value: Any) -> tuple[str, ...] | None:
    if value is None:
        return None
    items = value if isinstance(value, list) else [value]
    return tuple(sorted({text for item in items if (text := _text(item)) is not None}))


def _amounts(value: Any) -> tuple[prices.Amount, ...]:
    """Return the amounts of `[{fixedPricing: [{amount, unit}]}]`; what is not of that shape is left out."""
    fixed = [price.get("fixedPricing") for price in _items(value) if isinstance(price, dict)]
    entries = [entry for amounts in fixed for entry in _items(amounts) if isinstance(entry, dict)]
    found = (prices.amount(_text(entry.get("amount")), _text(entry.get("unit"))) for entry in entries)
    return tuple(amount for amount in found if amount is not None)


def _items(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _scalar(value: str | None) -> str:
    """Write a value so that it reads back as the same text, on one line."""
    if value is None:
        return "~"
    dumped = yaml.safe_dump(value, allow_unicode=True, width=float("inf"), default_style=None)
    line = str(dumped).removesuffix("...\n").strip()
    if "\n" in line or not _reads_back(line, value):  # quoted, it stays on one line, and text stays text
        line = str(yaml.safe_dump(value, allow_unicode=True, width=float("inf"), default_style='"')).strip()
    return line


def _reads_back(line: str, value: str) -> bool:
    """Return whether an item of a list on this line is it: PyYAML leaves `-` and `=` bare, which it then misreads."""
    try:
        return bool(yaml.load(f"- {line}\n", Loader) == [value])
    except yaml.YAMLError:
        return False
