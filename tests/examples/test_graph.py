"""The knowledge graph of the jkx example."""

from examples.jkx.graph import Edge, build


def test_sentences_become_edges() -> None:
    """A verb splits a sentence; articles do not make a second node; what is not understood is said."""
    graph = build("Ada works with Charles. Charles designed the Engine; An Engine USES cards\nHello there.")
    assert [node.name for node in graph.nodes] == ["Ada", "Charles", "Engine", "cards"]
    assert graph.edges[1] == Edge(source="charles", relation="DESIGNED", target="engine")
    assert [node.degree for node in graph.nodes] == [1, 2, 2, 1]
    assert graph.skipped == ["Hello there"]


def test_a_relation_is_kept_once() -> None:
    """Saying it twice changes nothing."""
    assert build("Ada knows Bob. ada knows the bob.") == build("Ada knows Bob.")


def test_an_empty_text_is_an_empty_graph() -> None:
    """Nothing in, nothing out."""
    assert build(" .\n; ").model_dump() == {"nodes": [], "edges": [], "skipped": []}
