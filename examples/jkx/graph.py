"""A knowledge graph from plain sentences: `subject verb object`, one sentence at a time."""

import re

import pydantic

VERBS = {
    "knows": "KNOWS",
    "works at": "WORKS_AT",
    "works with": "WORKS_WITH",
    "worked with": "WORKS_WITH",
    "lives in": "LIVES_IN",
    "designed": "DESIGNED",
    "wrote": "WROTE",
    "described": "DESCRIBED",
    "uses": "USES",
    "is part of": "PART_OF",
    "is a": "IS_A",
    "is an": "IS_A",
}
_VERB = re.compile(r"\s+(" + "|".join(sorted(map(re.escape, VERBS), key=len, reverse=True)) + r")\s+", re.IGNORECASE)
_ARTICLE = re.compile(r"^(?:the|a|an)\s+", re.IGNORECASE)


class Node(pydantic.BaseModel):
    """A thing.  `degree` counts the relations it takes part in."""

    id: str
    name: str
    degree: int = 0


class Edge(pydantic.BaseModel):
    """A relation from one node to another, by their ids."""

    source: str
    relation: str
    target: str


class KnowledgeGraph(pydantic.BaseModel):
    """Nodes in the order they were first named, edges in the order they were said, and what was not understood."""

    nodes: list[Node]
    edges: list[Edge]
    skipped: list[str]


def build(text: str) -> KnowledgeGraph:
    """Return the graph of a text.  A relation that is said twice is kept once."""
    nodes: dict[str, Node] = {}
    edges: list[Edge] = []
    skipped: list[str] = []
    for sentence in filter(None, (part.strip() for part in re.split(r"[.;\n]+", text))):
        parts = _VERB.split(sentence, maxsplit=1)
        if len(parts) != 3:
            skipped.append(sentence)
            continue
        source, target = _node(nodes, parts[0]), _node(nodes, parts[2])
        edge = Edge(source=source.id, relation=VERBS[" ".join(parts[1].lower().split())], target=target.id)
        if edge not in edges:
            edges.append(edge)
            source.degree += 1
            target.degree += 1
    return KnowledgeGraph(nodes=list(nodes.values()), edges=edges, skipped=skipped)


def _node(nodes: dict[str, Node], text: str) -> Node:
    name = _ARTICLE.sub("", text.strip())
    key = re.sub(r"\W+", "-", name.lower()).strip("-")
    return nodes.setdefault(key, Node(id=key, name=name))
