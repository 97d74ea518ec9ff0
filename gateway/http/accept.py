"""Which of HTML and JSON a client would rather have (RFC 9110 §12.5.1)."""


def prefers_html(accept: str, wanted: str = "") -> bool:
    """Return whether to answer with HTML: `?format=` wins, then the `Accept` header; JSON if both are as good."""
    if wanted in ("html", "json"):
        return wanted == "html"
    quality = {"application/json": 0.0, "text/html": 0.0}
    for part in accept.split(","):
        kind, _, parameters = part.strip().partition(";")
        try:
            q = float(parameters.partition("q=")[2] or 1)
        except ValueError:
            q = 0.0
        for known in quality:
            if kind.strip() in (known, "*/*", f"{known.partition('/')[0]}/*"):
                quality[known] = max(quality[known], q)
    return quality["text/html"] > quality["application/json"]
