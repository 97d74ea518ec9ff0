"""An app whose flows are given secrets, and do not keep them."""

import hashlib
import os
import sys
from typing import Any

import pydantic
from fastapi import Request

from agentmesh import InputsError, Launch, ServeAPI, Tracer
from agentmesh import forms as F  # noqa: N812

app = ServeAPI()
FORM = F.Model(
    F.InputText(label="User", name="user"),
    F.InputPassword(label="Password", name="password"),
    F.InputText(label="How", name="how", value="tell"),
)


@app.enter("/", model=FORM)
async def start(inputs: dict[str, Any], request: Request) -> Launch:
    """Launch the flow with its inputs under other names."""
    if inputs["how"] == "refuse":
        raise InputsError(password=f"{inputs['password']} is no good")
    if inputs["how"] == "break":
        raise RuntimeError(f"cannot take {inputs['password']}")
    login = {"credentials": [f"{inputs['user']}:{inputs['password']}"], "pass": inputs["password"], **inputs}
    if inputs["how"] == "objects":
        return Launch(request, tell_objects, inputs=Login(**inputs))
    return Launch(request, tell, inputs=login)


class Login(pydantic.BaseModel):
    """How to sign in somewhere."""

    user: str = "ada"
    password: pydantic.SecretStr
    how: str = "tell"


@app.flow("/declared")
async def declared(inputs: Login, tracer: Tracer) -> Any:
    """Tell a secret of a declared flow."""
    return await _tell(inputs.password.get_secret_value(), inputs.how, tracer)


@app.lock("door")
async def door() -> F.Model:
    """Ask for a key."""
    return F.Model(F.InputPassword(label="Key", name="key"))


async def tell(inputs: dict[str, Any], tracer: Tracer) -> Any:
    """Tell a secret of a form."""
    return await _tell(inputs["pass"], inputs["how"], tracer)


async def tell_objects(inputs: Login, tracer: Tracer) -> Any:
    """Tell a secret that came as an object."""
    return await _tell(inputs.password.get_secret_value(), inputs.how, tracer)


async def _tell(secret: str, how: str, tracer: Tracer) -> Any:
    digests = {"input": digest(secret), "env": digest(os.environ.get("API_TOKEN", ""))}
    if how == "ask":
        answer = await tracer.lock("door")
        print("the key is", answer["key"])
        return {**digests, "key": digest(answer["key"]), "said": answer}
    print("the secret is", secret, os.environ.get("API_TOKEN"))
    print("on stderr:", secret, file=sys.stderr)
    os.write(1, f"natively {secret}\n".encode())
    await tracer.markdown(f"**{secret}**")
    await tracer.debug(f'quoted "{secret}"')
    if how == "fail":
        raise ValueError(f"could not sign in with {secret} and {os.environ.get('API_TOKEN')}")
    return {**digests, "secret": secret, "nested": [{"env": os.environ.get("API_TOKEN")}]}


def digest(secret: str) -> str:
    """Return what shows that a secret was there."""
    return hashlib.sha256(secret.encode()).hexdigest()
