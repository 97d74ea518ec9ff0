"""What the engine's host loads: one flow, and the form by which people approve the call of a tool."""

from typing import Any

from agentmesh import forms
from agentmesh.engine.flow import run
from agentmesh.serve import ServeAPI

APPROVAL = "approve-tool"
"""The lock that a call of a tool waits on."""

app = ServeAPI(title="Agents and crews", isolation="shared")
# Jobs come with a definition, which only the runner has: nobody launches this flow by its path.
app.flow("/", model=forms.Model(), summary="Runs agents and crews")(run)


@app.lock(APPROVAL)
def approval(data: dict[str, Any]) -> forms.Model:
    """Ask whether a tool may be called."""
    return forms.Model(
        forms.Markdown(
            f"**{data.get('agent')}** wants to call the tool **{data.get('tool')}** with\n\n"
            f"```json\n{data.get('arguments')}\n```"
        ),
        forms.Checkbox(name="approve", option="Let it", value=False),
        forms.InputText(name="comment", label="Comment"),
        forms.Submit("Answer"),
    )


@app.lease(APPROVAL)
def decided(inputs: dict[str, Any]) -> dict[str, Any]:
    """Return what was decided."""
    return {"approve": bool(inputs.get("approve")), "comment": str(inputs.get("comment") or "")[:1000]}
