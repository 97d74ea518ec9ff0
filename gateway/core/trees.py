"""JSON as a tree of HTML that is folded by itself: what is deep or long is closed, without any script."""

import html
import json
from typing import Any

NODES_MAX = 2000
"""What has more is better read as text, or downloaded."""
_DEPTH_MAX = 30
_OPEN_DEPTH = 2
_OPEN_ITEMS = 20


class _TooMuch(Exception):
    pass


def tree_of(value: Any) -> str | None:
    """Return a tree of an object or a list that is not empty; None for anything else, and for what has too much."""
    if not isinstance(value, (dict, list)) or not value:
        return None
    left = NODES_MAX

    def node(key: str, value: Any, depth: int) -> str:
        nonlocal left
        left -= 1
        if left < 0:
            raise _TooMuch
        name = f'<span class="key">{html.escape(key)}</span>'
        if not isinstance(value, (dict, list)) or not value or depth >= _DEPTH_MAX:
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            kind = "text" if isinstance(value, str) else "value"
            return f'<li>{name} <span class="{kind}">{html.escape(text)}</span></li>'
        unfolded = " open" if depth < _OPEN_DEPTH and len(value) <= _OPEN_ITEMS else ""
        count = f"{len(value)} {'field' if isinstance(value, dict) else 'item'}{'' if len(value) == 1 else 's'}"
        size = f'<span class="quiet">{count}</span>'
        return f"<li><details{unfolded}><summary>{name} {size}</summary>{branch(value, depth + 1)}</details></li>"

    def branch(value: Any, depth: int) -> str:
        items = value.items() if isinstance(value, dict) else enumerate(value)
        return f"<ul>{''.join(node(str(key), item, depth) for key, item in items)}</ul>"

    try:
        return f'<div class="tree">{branch(value, 0)}</div>'
    except _TooMuch:
        return None
