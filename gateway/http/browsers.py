"""What a browser may do with pages of ours: nothing but show them, with their own style.

`nosniff` and a referrer policy come with every answer: `edge.lua` adds them.
"""

import base64
import hashlib
import re

_STYLE = re.compile(r"<style>(.*?)</style>", re.DOTALL)


def policy(template: str, *more: str, framed_by: str = "'none'") -> str:
    """Return the Content-Security-Policy of pages made of a template, by the styles in it; `more` are directives.

    The template is the source: what was put into a page brings no style of its own.
    """
    digests = [hashlib.sha256(style.encode()).digest() for style in _STYLE.findall(template)]
    styles = " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)
    fixed = ("default-src 'none'", f"style-src {styles}", "base-uri 'none'", f"frame-ancestors {framed_by}")
    return "; ".join((*fixed, *more))
