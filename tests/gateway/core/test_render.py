"""What flows wrote, as HTML: readable, and without anything that acts."""

import json
from typing import Any

import pytest

from gateway.core import render


def typed(**value: Any) -> str:
    return render.from_typed(json.dumps(value))


HOSTILE = [
    "<script>alert(1)</script>",
    '<img src="x" onerror="alert(1)">',
    '<a href="javascript:alert(1)">x</a>',
    '<a href="java\tscript:alert(1)">x</a>',
    '<a href="data:text/html,<script>alert(1)</script>">x</a>',
    '<a href=" da\tta:text/html,<script>alert(1)</script>">x</a>',
    '<img src="data:text/html;base64,PHNjcmlwdD4=">',
    '<iframe src="http://example.com"></iframe>',
    '<p style="position:fixed">x</p>',
    "<form action=/x><input name=a></form>",
    "<svg onload=alert(1)></svg>",
    '<video src="javascript:alert(1)"></video>',
]


@pytest.mark.parametrize("fragment", HOSTILE)
def test_nothing_that_acts_survives(fragment: str) -> None:
    """Whatever way a flow sends HTML, no script, handler, style, form or foreign scheme comes out."""
    ways = [
        render.sanitise(fragment),
        render.from_markdown(fragment),
        render.from_markdown(f"# Title\n\n> - {fragment}"),
        typed(HTML={"body": fragment}),
        typed(Markdown={"body": fragment}),
        typed(CrewOutput={"raw": fragment}),
    ]
    bad = ("<script", "onerror", "onload", "javascript:", "data:", "<iframe", "style=", "<form", "<input", "<svg")
    for rendered in ways:
        assert not [word for word in bad if word in rendered.replace("\t", "").lower()]
    assert html_only_escaped(render.from_ansi(fragment), fragment)
    assert html_only_escaped(typed(Text={"body": fragment}), fragment)
    assert html_only_escaped(typed(dict={"a": fragment}), fragment)


def html_only_escaped(rendered: str, fragment: str) -> bool:
    return fragment.split(">")[0] + ">" not in rendered and "&lt;" in rendered


@pytest.mark.parametrize("url", ["javascript:alert(1)", 'x" onerror="alert(1)', "data:text/html,x", 5, None])
def test_addresses_in_links_images_and_videos_are_checked(url: Any) -> None:
    """Link, Image and Video give no attribute but an allowed address; broken ones do not break the page."""
    for kind in ("Link", "Image", "Video"):
        rendered = typed(**{kind: {"url": url, "title": "t", "alt": "t"}})
        assert 'href="javascript' not in rendered
        assert 'src="javascript' not in rendered
        assert 'src="data:' not in rendered
        assert ' onerror="' not in rendered


def test_every_documented_type_has_its_form() -> None:
    """The output formats of the panel API come out as the element a reader expects."""
    assert typed(Text={"body": "a<b"}) == "<blockquote><code>a&lt;b</code></blockquote>"
    assert typed(Markdown={"body": "**b**\nc"}) == "<p><strong>b</strong><br>\nc</p>"
    assert typed(HTML={"body": "<b>x</b>"}) == "<b>x</b>"
    link = typed(Link={"url": "https://example.com/r", "title": "Result <Page>"})
    assert link == '<p><a href="https://example.com/r" rel="noopener noreferrer">Result &lt;Page&gt;</a></p>'
    image = typed(Image={"url": "https://example.com/o.png", "alt": "A picture"})
    assert 'src="https://example.com/o.png"' in image
    assert 'alt="A picture"' in image
    assert "<video" in typed(Video={"url": "https://example.com/o.mp4"})
    assert typed(dict={"ok": True}) == "<h4>dict</h4><pre>{\n  &quot;ok&quot;: true\n}</pre>"
    assert typed(CrewOutput={"raw": "# T"}) == "<h4>CrewOutput</h4><h1>T</h1>"
    both = typed(__list__=[{"int": 1}, {"Text": {"body": "x"}}])
    assert both == "<h4>int</h4><pre>1</pre>\n<blockquote><code>x</code></blockquote>"


def test_an_image_may_carry_its_data() -> None:
    """A plot that a flow draws shows without a second address."""
    source = "data:image/png;base64,iVBORw0KGgo="
    assert source in render.from_markdown(f"![plot]({source})")


@pytest.mark.parametrize("payload", ["", "no json", "[1", "5", "null", "[]", '{"a":1,"b":2}', "[" * 100_000])
def test_what_is_no_typed_json_is_shown_as_it_is(payload: str) -> None:
    """A payload of another shape is preformatted text, never an error."""
    assert render.from_typed(payload).startswith("<pre>")


def test_lists_in_lists_end() -> None:
    """Nested lists are opened to a depth; behind it their JSON is shown."""
    value: Any = {"int": 1}
    for _ in range(200):
        value = {"__list__": [value]}
    assert "<pre>" in render.from_typed(json.dumps(value))


def test_terminal_codes_become_spans_or_vanish() -> None:
    """Colours and bold are spans, everything else of the terminal is dropped, text is escaped."""
    assert render.from_ansi("a<b") == "a&lt;b"
    assert (
        render.from_ansi("\x1b[1;31mred\x1b[0m plain") == '<span style="font-weight:bold;color:#c00">red</span> plain'
    )
    assert render.from_ansi("\x1b[38;5;200mx\x1b[48;2;1;2;3my\x1b[2K\x1b]0;t\x07z") == "xyz"
    assert render.from_ansi("\x1b[31ma\x1b[39mb\x1b") == '<span style="color:#c00">a</span>b'
    assert render.from_ansi("\x1b[" + "9" * 5000 + "mx") == "x"


def test_events_are_formatted_by_kind() -> None:
    """Inputs are YAML, texts are escaped, results are HTML, and what programs read stays the JSON that it is."""
    assert render.from_event("inputs", '{"dict":{"a":"<x>","b":[1]}}') == "a: &lt;x&gt;\nb:\n- 1"
    assert render.from_event("inputs", "{") == "{"
    assert render.from_event("debug", "<b>") == "&lt;b&gt;"
    assert render.from_event("error", "<b>") == "&lt;b&gt;"
    assert render.from_event("result", '{"Markdown":{"body":"*x*"}}') == "<p><em>x</em></p>"
    for kind in ("meta", "status", "agent", "lock", "lease", "payment", "upload", "of a newer runner"):
        assert render.from_event(kind, '{"a":"<b>&"}') == '{"a":"\\u003cb\\u003e\\u0026"}'


def test_what_is_nested_deeply_is_shown_as_text() -> None:
    """It would take the square of its length; many elements beside each other, closed or not, are none of that."""
    assert render.sanitise("<div>" * 300).startswith("<pre>&lt;div")
    assert render.from_markdown("<b>" * 300).startswith("<pre>&lt;p&gt;&lt;b")
    for flat in ("<p>x" * 300, "<li>x" * 300, "<br>" * 300, "<b>x</b>" * 300, "a <b and c " * 300):
        assert not render.sanitise(flat).startswith("<pre>")


def test_what_cannot_be_rendered_is_text() -> None:
    """Without what it is wrapped in, escaped, and cut where it is too long."""
    assert render.plain("typed", '{"HTML":{"body":"<b>"}}') == "<pre>&lt;b&gt;</pre>"
    assert render.plain("typed", '{"dict":{"a":1}}') == "<pre>{&quot;dict&quot;:{&quot;a&quot;:1}}</pre>"
    assert render.plain("ansi", "\x1b[1m<b>") == "&lt;b&gt;"
    assert render.plain("inert", '{"a":"<"}') == '{"a":"\\u003c"}'
    cut = render.plain("markdown", "ü" * render.TEXT_BYTES_MAX)
    assert cut.endswith(f"… (cut off here: it has {2 * render.TEXT_BYTES_MAX} bytes)</pre>")
    assert len(cut.encode()) < render.TEXT_BYTES_MAX + 200


def test_long_markdown_is_shown_as_text() -> None:
    """Text that would take long to parse is not parsed."""
    rendered = render.from_markdown("*" * (render.MARKDOWN_CHARS_MAX + 1))
    assert rendered.startswith("<pre>***")


def test_a_table_is_a_table() -> None:
    """Its cells are text, whatever they hold; what was left out is counted."""
    rows = [["<b>Ada</b>", 36], [None, {"a": 1}]]

    shown = typed(Table={"columns": ["name", "<i>"], "rows": rows, "more": 3})

    assert "<thead><tr><th>name</th><th>&lt;i&gt;</th></tr></thead>" in shown
    assert "<tr><td>&lt;b&gt;Ada&lt;/b&gt;</td><td>36</td></tr><tr><td></td>" in shown
    assert shown.endswith("<p>… 3 more rows</p>")
    cases: list[dict[str, Any]] = [{"columns": 1, "rows": []}, {"columns": [], "rows": [1]}, {"columns": []}]
    for broken in cases:
        assert typed(Table=broken).startswith("<h4>Table</h4><pre>")
