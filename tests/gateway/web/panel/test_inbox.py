"""What the inbox shows of a question."""

import pytest

from gateway.web.panel.inbox import plain


@pytest.mark.parametrize(
    ("fragment", "text"),
    [
        ("<h1>Say hello</h1>\n<p>The <b>service</b>\nwaits.</p>", "Say hello · The service waits."),
        ("<p>1 &lt; 2<br>yes</p><hr><p></p>", "1 < 2 · yes"),
        ("<div></div>", ""),
        (f"<p>{'x' * 500}</p>", "x" * 199 + "…"),
    ],
)
def test_a_question_is_a_line_of_text(fragment: str, text: str) -> None:
    """Whatever its form looks like."""
    assert text == plain(fragment)
