"""An app that answers as no flow does, to see what the proxy makes of it."""

from typing import Any

import fastapi
from fastapi.responses import PlainTextResponse, RedirectResponse, Response

from agentmesh import Launch, ServeAPI, forms

app = ServeAPI()
model = forms.Model(forms.InputText(label="Say", name="say"), forms.Submit("Go"), forms.Cancel("Cancel"))


@app.enter(path="/", model=model, summary="Echo", description="Gives back.", tags=["raw", "echo"], author="ada")
async def echo(request: fastapi.Request, inputs: dict[str, Any]) -> Launch:
    """Launch a flow."""
    return Launch(request, "tests.gateway.raw_app:give_back", inputs=inputs)


@app.enter(path="/deep/er", model=model, summary="Another", deprecated=True, organization="org")
async def deeper(request: fastapi.Request, inputs: dict[str, Any]) -> Launch:
    """Launch a flow."""
    return Launch(request, "tests.gateway.raw_app:give_back", inputs=inputs)


def give_back(inputs: dict[str, Any]) -> dict[str, Any]:
    """Return the inputs."""
    return inputs


@app.api_route("/mirror/{rest:path}", methods=["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"])
async def mirror(request: fastapi.Request, rest: str) -> dict[str, Any]:
    """Say what came in."""
    return {
        "method": request.method,
        "path": request.url.path,
        "rest": rest,
        "query": request.url.query,
        "headers": dict(request.headers),
        "body": (await request.body()).decode("latin-1"),
    }


@app.get("/status/{code}")
async def status(code: int) -> Response:
    """Answer with a status."""
    return PlainTextResponse(f"status {code}" if code not in (204, 304) else None, status_code=code)


@app.get("/sets/{name}")
async def sets(name: str, value: str) -> Response:
    """Answer with a header of the caller's choice."""
    response = PlainTextResponse("<script>1</script>", media_type="text/html")
    response.raw_headers.append((name.encode(), value.encode("latin-1")))
    return response


@app.get("/headers")
async def headers() -> Response:
    """Answer with headers that an app may and may not send."""
    response = PlainTextResponse("ok")
    response.headers["x-app"] = "yes"
    response.headers["x-http-code"] = "418"
    response.headers["x-http-body"] = "{}"
    response.headers["grpc-status"] = "5"
    response.headers["connection"] = "close"
    response.raw_headers.append((b"x-latin", "é".encode("latin-1")))
    response.raw_headers.append((b"set-cookie", b"mine=1; Path=/"))
    response.raw_headers.append((b"set-cookie", b"other=2; Path=/"))
    response.raw_headers.append((b"set-cookie", b"kodosumi_jwt=stolen; Path=/"))
    return response


@app.get("/elsewhere")
async def elsewhere() -> Response:
    """Send the client away."""
    return RedirectResponse("/flow", status_code=303)


@app.get("/with-slash/")
async def with_slash(request: fastapi.Request) -> dict[str, str]:
    """Mind the trailing slash."""
    return {"path": request.url.path}


@app.get("/binary")
async def binary() -> Response:
    """Answer with bytes."""
    return Response(bytes(range(256)), media_type="image/png")
