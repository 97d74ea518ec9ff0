"""What happens around a dialect's RPC."""

import json

from gateway.http.interceptor import bounded_json


def test_an_error_fits_into_a_header() -> None:
    """ASCII, bounded, and still JSON with its short parts whole."""
    body = {"error": "X", "detail": "ü" * 100_000, "list": ["y" * 50_000]}
    text = bounded_json(body)

    assert text.isascii()
    assert len(text) <= 16 * 1024
    assert json.loads(text)["error"] == "X"
    assert json.loads(text)["detail"].startswith("üüü")
    assert bounded_json({"detail": "ü"}) == '{"detail": "\\u00fc"}'
