"""Telegram office: puts a text into Morse code, once it is paid for.

Nothing here knows of money: a flow costs something when its meta has an `agentIdentifier`, and then its jobs wait until
the price is in escrow.  `agentmesh up --examples` exposes it with one.
"""

from typing import Any

import fastapi

from agentmesh import InputsError, Launch, ServeAPI, Tracer
from agentmesh import forms as F
from agentmesh.response import Markdown

CHARS_MAX = 280
_CODES = """
A .-    B -...  C -.-.  D -..   E .     F ..-.  G --.   H ....  I ..    J .---  K -.-   L .-..  M --
N -.    O ---   P .--.  Q --.-  R .-.   S ...   T -     U ..-   V ...-  W .--   X -..-  Y -.--  Z --..
0 ----- 1 .---- 2 ..--- 3 ...-- 4 ....- 5 ..... 6 -.... 7 --... 8 ---.. 9 ----. . .-.-.- , --..-- ? ..--..
"""
MORSE = dict(zip(_CODES.split()[::2], _CODES.split()[1::2], strict=True))

app = ServeAPI()

form = F.Model(
    F.Markdown("# Telegram office\nYour text in Morse code. Paid in advance."),
    F.InputText(label="Text", name="text", required=True, placeholder="What hath God wrought"),
    F.Submit("Send"),
    F.Cancel("Cancel"),
)


def encode(text: str) -> str:
    """Return a text in Morse code: a blank between letters, a slash between words.  Raises `KeyError`."""
    return " / ".join(" ".join(MORSE[letter] for letter in word) for word in text.upper().split())


@app.enter(
    path="/",
    model=form,
    summary="Telegram Office",
    description="Puts a text into Morse code, once it is paid for.",
    version="0.1.0",
    author="author@example.com",
    tags=["Payment", "Masumi"],
)
async def enter(request: fastapi.Request, inputs: dict[str, Any]) -> Launch:
    """Check the text before anybody pays for it."""
    text = str(inputs.get("text") or "").strip()
    if len(text) > CHARS_MAX:
        raise InputsError(text=f"A telegram has at most {CHARS_MAX} characters")
    unknown = sorted(set("".join(text.upper().split())) - MORSE.keys())
    if unknown:
        raise InputsError(text=f"There is no Morse code for {' '.join(unknown)}")
    return Launch(request, "examples.paid.app:run", inputs={"text": text})


async def run(inputs: dict[str, Any], tracer: Tracer) -> Markdown:
    """Send the telegram."""
    words = inputs["text"].split()
    await tracer.debug(f"sending {len(words)} words")
    return Markdown(f"`{encode(inputs['text'])}`")


fast_app = app
