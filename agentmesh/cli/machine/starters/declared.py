"""A flow whose inputs a pydantic model declares."""

APP = '''\
"""A flow that declares what it takes: the mesh makes the form, and checks the values before there is a job."""

import collections

import pydantic

from agentmesh import ServeAPI, Table, Tracer

app = ServeAPI()


class Count(pydantic.BaseModel):
    """Counts the words of a text."""

    text: str = pydantic.Field(min_length=1, max_length=20_000, json_schema_extra={"multiline": True})
    top: int = pydantic.Field(default=3, ge=1, le=50, description="How many words to list")


@app.flow("/", summary="Word count", description="Which words a text uses most.", tags=["Demo"])
async def count(inputs: Count, tracer: Tracer) -> Table:
    """Count them: this is the job, in a process of its own."""
    words = [word.strip(".,!?").lower() for word in inputs.text.split()]
    await tracer.progress(len(words), len(words), "counting")
    return Table(["word", "count"], collections.Counter(words).most_common(inputs.top))
'''

TEST = '''\
"""The flow stays a function: a test calls it with its model."""

import asyncio

from agentmesh import TracerMock

from app import Count, count


def test_the_most_frequent_word_comes_first() -> None:
    table = asyncio.run(count(Count(text="to be or not to be", top=1), TracerMock()))

    assert [("to", 2)] == [tuple(row) for row in table.rows]
'''
