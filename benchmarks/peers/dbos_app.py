"""What DBOS runs for `make bench-peers`: a workflow of one step that returns what it is given, over HTTP.

`python dbos_app.py DATABASE_URL PORT`, in the virtual environment of `pins/dbos.txt`.
"""

import sys
from typing import Any

import fastapi
import uvicorn
from dbos import DBOS

app = fastapi.FastAPI()


@DBOS.step()
def say(text: str) -> str:
    """Return the text."""
    return text


@DBOS.workflow()
def echo(text: str) -> dict[str, str]:
    """Return the text, by way of a recorded step."""
    return {"text": say(text)}


# Not `async def`: DBOS works in threads, and so FastAPI calls these in threads.
@app.post("/start")
def start(inputs: dict[str, Any]) -> dict[str, str]:
    """Start the workflow; answers its id once it is recorded."""
    return {"id": DBOS.start_workflow(echo, inputs["text"]).workflow_id}


@app.get("/status/{workflow}")
def status(workflow: str) -> dict[str, Any]:
    """Answer where a workflow stands: PENDING, SUCCESS or ERROR."""
    found = DBOS.get_workflow_status(workflow)
    if found is None:
        raise fastapi.HTTPException(404)
    return {"id": found.workflow_id, "status": found.status, "created_at": found.created_at}


def main() -> None:
    """Serve until SIGTERM."""
    DBOS(config={"name": "bench-peer", "system_database_url": sys.argv[1], "log_level": "WARNING"})
    DBOS.launch()
    uvicorn.run(app, port=int(sys.argv[2]), log_level="warning", access_log=False)


if __name__ == "__main__":
    main()
