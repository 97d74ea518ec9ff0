"""An echo that declares its inputs: the mesh checks them, and no code of the author's runs at launch."""

import pydantic

from agentmesh import ServeAPI

app = ServeAPI()


class Echo(pydantic.BaseModel):
    """What the flow takes."""

    text: str


@app.flow("/", summary="Echo")
async def echo(inputs: Echo) -> dict[str, str]:
    """Return the text."""
    return {"text": inputs.text}
