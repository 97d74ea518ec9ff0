"""The panel's pages."""

from gateway.core import render
from gateway.dialects.kodosumi.html import page


def test_a_page_escapes_its_values() -> None:
    """Values in a page are text unless the renderer made them."""
    shown = page("result.html", title="<t>", status="<s>", refresh=False, result=render.safe("<b>r</b>")).decode()

    assert "<title>&lt;t&gt;</title>" in shown
    assert "&lt;s&gt;" in shown
    assert "<b>r</b>" in shown
