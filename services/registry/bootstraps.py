"""Bootstraps as they are shown, and as they are kept: the values of their `env_vars` are secret.

What everybody reads, and the table has, is the operator's text with a mask for each value.  The text itself is sealed
beside it, and opened for a boot.  A mask that is sent back means the value that is kept.
"""

import dataclasses
import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import yaml

from meshkit.errors import Invalid
from meshkit.secrets import MASK, Secret, Vault
from services.registry import documents
from services.registry.domain.exposes import Expose

_PROPERTIES = re.compile(r"(?:[&!]\S*\s+)*")
"""What may stand before a value: an anchor that others name, a tag."""
_DEPTH_MAX = 20
_Path = tuple[str, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class _Spot:
    path: _Path
    """The name of the variable, behind where its `env_vars` are."""
    start: int
    end: int
    value: str
    """As a process gets it."""


class Bootstraps:
    """Seals and opens the bootstraps of exposes."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault

    def sealed(self, expose: Expose) -> Expose:
        """Return an expose whose bootstrap is as somebody wrote it, as it is kept."""
        masked = masked_bootstrap(expose.bootstrap)
        if masked == expose.bootstrap:
            return dataclasses.replace(expose, sealed="")
        return dataclasses.replace(expose, bootstrap=masked, sealed=_sealed(self._vault, expose.name, expose.bootstrap))

    def opened(self, expose: Expose) -> str:
        """Return the bootstrap as it was written.  Raises `FailedPrecondition` if it was sealed with another key."""
        if not expose.sealed:
            return expose.bootstrap
        return self._vault.open(bytes.fromhex(expose.sealed), _place(expose.name)).reveal()

    def filled(self, bootstrap: str, stored: Expose | None) -> str:
        """Return a bootstrap with what is kept in the place of masks; raise `Invalid` where nothing is kept."""
        masks = [spot for spot in _spots(bootstrap) if spot.value == MASK]
        if not masks:
            return bootstrap
        kept = {spot.path: spot.value for spot in _spots(self.opened(stored))} if stored is not None else {}
        if missing := sorted({".".join(spot.path) for spot in masks if spot.path not in kept}):
            problem = f"{missing[0]} is masked, and no value of it is kept: give it"
            raise Invalid(f"bootstrap: {problem}", {"expose.bootstrap": [problem]})
        return _replaced(bootstrap, masks, lambda spot: json.dumps(kept[spot.path], ensure_ascii=False))


def masked_bootstrap(bootstrap: str) -> str:
    """Return a bootstrap with a mask for each value of its `env_vars`, and all else as it is."""
    spots = [spot for spot in _spots(bootstrap) if spot.value]
    return _replaced(bootstrap, spots, lambda spot: f'"{MASK}"')


def is_kept(bootstrap: str, stored: Expose) -> bool:
    """Return whether a bootstrap is the one that is kept, but for values of its `env_vars`."""
    return masked_bootstrap(bootstrap) == stored.bootstrap


def sealing(vault: Vault) -> Mapping[str, Callable[..., Any]]:
    """Return the functions with which a database seals what it has of before."""

    def sealed_bootstrap(name: str, bootstrap: str) -> str:
        return "" if masked_bootstrap(bootstrap) == bootstrap else _sealed(vault, name, bootstrap)

    return {"sealed_bootstrap": sealed_bootstrap, "masked_bootstrap": masked_bootstrap}


def _sealed(vault: Vault, name: str, bootstrap: str) -> str:
    return vault.seal(Secret(bootstrap), _place(name)).hex()


def _place(name: str) -> str:
    return f"exposes/{name}#bootstrap"


def _replaced(text: str, spots: list[_Spot], value: Callable[[_Spot], str]) -> str:
    ends_at = len(text) + 1
    for spot in sorted(spots, key=lambda spot: spot.start, reverse=True):
        if spot.end > ends_at:  # two names of one value: it is replaced already
            continue
        ends_at, before = spot.start, text[spot.start : spot.end]
        properties = _PROPERTIES.match(before)
        kept = properties[0] if properties is not None else ""
        line_end = "\n" if before.endswith("\n") else ""  # of a value over several lines
        text = f"{text[: spot.start]}{kept}{value(spot)}{line_end}{text[spot.end :]}"
    return text


def _spots(text: str) -> list[_Spot]:
    """Return where the values of `env_vars` stand; none in a text that is no YAML: it is refused elsewhere."""
    try:
        root = yaml.compose(text, documents.Loader)
        return list(_of_bootstrap(root))
    except (yaml.YAMLError, ValueError, RecursionError, TypeError, LookupError, AttributeError):
        return []


def _of_bootstrap(root: yaml.Node | None) -> Iterator[_Spot]:
    yield from _of_runtime_env(_member(root, "runtime_env"), ())
    deployments = _member(root, "deployments")
    if isinstance(deployments, yaml.SequenceNode):
        for number, deployment in enumerate(deployments.value):
            options = _member(deployment, "ray_actor_options")
            yield from _of_runtime_env(_member(options, "runtime_env"), (f"deployments[{number}]",))


def _of_runtime_env(node: yaml.Node | None, path: _Path) -> Iterator[_Spot]:
    yield from _of_env(_member(node, "env_vars"), (*path, "env_vars"), 0)


def _of_env(node: yaml.Node | None, path: _Path, depth: int) -> Iterator[_Spot]:
    if depth > _DEPTH_MAX:
        return
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            merges = key.tag == "tag:yaml.org,2002:merge"
            yield from _of_env(value, path if merges else (*path, str(key.value)), depth + 1)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            yield from _of_env(value, path, depth + 1)
    elif isinstance(node, yaml.ScalarNode):
        found = documents.Loader("").construct_object(node)
        value = "" if found is None else str(found)
        yield _Spot(path, node.start_mark.index, node.end_mark.index, value)


def _member(node: yaml.Node | None, name: str) -> yaml.Node | None:
    """Return a member of a mapping, the last of that name; merges are followed."""
    if not isinstance(node, yaml.MappingNode):
        return None
    found = [value for key, value in node.value if key.value == name]
    if found:
        last: yaml.Node = found[-1]
        return last
    for key, value in node.value:
        if key.tag == "tag:yaml.org,2002:merge":
            for each in value.value if isinstance(value, yaml.SequenceNode) else [value]:
                inner = _member(each, name)
                if inner is not None:
                    return inner
    return None
