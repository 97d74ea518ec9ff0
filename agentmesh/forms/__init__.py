"""Forms: what a flow asks for, as elements (spec: kodosumi §3).

model = forms.Model(
    forms.Markdown("# Hymn Creator"),
    forms.InputText("topic", "Topic", required=True),
    forms.Submit("Create"),
    forms.Cancel("Cancel"),
)
"""

from agentmesh.forms.base import Element
from agentmesh.forms.choices import Checkbox, InputOption, InputRadio, Select
from agentmesh.forms.display import HR, HTML, Action, Break, Cancel, DisplayInfo, Errors, Markdown, Submit
from agentmesh.forms.inputs import (
    InputArea,
    InputColor,
    InputDate,
    InputDateTime,
    InputEmail,
    InputFiles,
    InputHidden,
    InputMonth,
    InputNumber,
    InputPassword,
    InputRange,
    InputSearch,
    InputTel,
    InputText,
    InputTime,
    InputUrl,
    InputWeek,
)
from agentmesh.forms.model import Model

__all__ = [
    "HR",
    "HTML",
    "Action",
    "Break",
    "Cancel",
    "Checkbox",
    "DisplayInfo",
    "Element",
    "Errors",
    "InputArea",
    "InputColor",
    "InputDate",
    "InputDateTime",
    "InputEmail",
    "InputFiles",
    "InputHidden",
    "InputMonth",
    "InputNumber",
    "InputOption",
    "InputPassword",
    "InputRadio",
    "InputRange",
    "InputSearch",
    "InputTel",
    "InputText",
    "InputTime",
    "InputUrl",
    "InputWeek",
    "Markdown",
    "Model",
    "Select",
    "Submit",
]
