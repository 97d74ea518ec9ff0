"""Path templates of the contract as those of OpenAPI, which knows no variables within variables.

`/mesh/v1/{name=jobs/*/locks/*}:answer` becomes `/mesh/v1/jobs/{job}/locks/{lock}:answer`.
"""

import dataclasses
import re

_VARIABLE = re.compile(r"\{([^}=]+)(?:=([^}]*))?\}")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    """A variable of a path."""

    name: str
    field: str
    """Of the request that it is in, or is a part of: `name`, `user.name`."""
    whole: bool
    """Whether it is all of the field."""
    deep: bool
    """Whether it may have slashes, which OpenAPI cannot say."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Path:
    """A path, as OpenAPI writes it."""

    text: str
    variables: tuple[Variable, ...]

    @property
    def fields(self) -> frozenset[str]:
        """Fields of the request that the path fills."""
        return frozenset(variable.field for variable in self.variables)


def parse(template: str) -> Path:
    """Return a template of the contract as a path."""
    variables: list[Variable] = []

    def expand(match: re.Match[str]) -> str:
        field, inner = match[1], match[2]
        if inner in (None, "*", "**"):
            variables.append(Variable(name=field, field=field, whole=True, deep=inner == "**"))
            return f"{{{field}}}"
        segments = inner.split("/")
        for index, segment in enumerate(segments):
            if segment in ("*", "**"):
                name = segments[index - 1].removesuffix("s")
                variables.append(Variable(name=name, field=field, whole=False, deep=segment == "**"))
                segments[index] = f"{{{name}}}"
        return "/".join(segments)

    return Path(text=_VARIABLE.sub(expand, template), variables=tuple(variables))
