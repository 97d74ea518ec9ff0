"""JSON as a tree: whole, escaped, and bounded."""

import json

from gateway.core import render
from gateway.core.trees import NODES_MAX, tree_of


def test_a_tree_has_every_value_and_no_html_of_others() -> None:
    """What is long is folded."""
    tree = tree_of({"<b>": [1, None, "<i>"], "long": list(range(30)), "empty": {}})

    assert tree is not None
    assert "&lt;b&gt;" in tree
    assert "&lt;i&gt;" in tree
    assert '<details open><summary><span class="key">&lt;b&gt;</span> <span class="quiet">3 items' in tree
    assert '<details><summary><span class="key">long</span> <span class="quiet">30 items' in tree
    assert tree.count("<li>") == 3 + 3 + 30


def test_what_is_too_much_for_a_tree_is_text() -> None:
    """So is what is none."""
    assert tree_of(list(range(NODES_MAX + 1))) is None
    assert tree_of("text") is None
    assert tree_of([]) is None
    deep = json.dumps({"dict": {"a": json.loads("[" * 200 + "]" * 200)}})
    assert "tree" in render.from_result(deep)


def test_a_result_is_a_tree_unless_it_is_something_better() -> None:
    """As it is rendered for a page."""
    assert "tree" in render.from_result('{"dict": {"a": 1}}')
    assert "tree" in render.from_result('{"a": 1, "b": 2}')
    for payload in ('{"Text": {"body": "x"}}', '{"str": "x"}', "{", '{"__list__": [{"Text": {"body": "x"}}]}'):
        assert render.from_typed(payload) == render.from_result(payload)


def test_a_result_of_few_long_values_is_cut_off_as_text() -> None:
    """A tree is bounded in bytes, too."""
    fits = render.from_result(json.dumps({"dict": {"a": "x" * (render.TEXT_BYTES_MAX - 100)}}))
    cut = render.from_result(json.dumps({"dict": {"a": "x" * render.TEXT_BYTES_MAX, "b": 1}}))

    assert "tree" in fits
    assert "tree" not in cut
    assert "cut off here" in cut
    assert len(cut) < render.TEXT_BYTES_MAX + 200
