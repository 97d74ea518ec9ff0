"""An app that says who asks it, and by which address."""

from typing import Any

from fastapi import FastAPI, Request

app = FastAPI()


@app.get("/")
async def asked(request: Request) -> dict[str, Any]:
    """Return a form that says what the request seems to come from."""
    client = request.client.host if request.client is not None else ""
    return {"elements": [{"type": "none", "text": f"{client} at {request.base_url}"}]}
