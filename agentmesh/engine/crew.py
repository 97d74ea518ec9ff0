"""Runs a job: an agent by itself, or a crew's tasks, each as soon as those before it are done."""

import asyncio
from typing import Any, Literal

import pydantic
from agentmesh_protos.registry.v1 import agent_pb2, crew_pb2
from agentmesh_protos.runner.v1 import host_pb2

from agentmesh.engine import turn
from agentmesh.engine.place import Place
from agentmesh.engine.tasks import Plan, Task, prompt_of
from agentmesh.engine.trace import called
from agentmesh.engine.work import Work
from agentmesh.errors import BudgetExceeded, KodosumiError
from agentmesh.response import Markdown
from agentmesh.tracer import Tracer

AT_ONCE = 4
"""Tasks of a crew that are worked on at a time, if it does not say."""
REVIEWS_MAX = 3
_INSIGHT_CHARS = 300


async def run(inputs: dict[str, Any], tracer: Tracer, assignment: host_pb2.Run) -> Markdown:
    """Run what a job was born with; return what came of it."""
    work = Work.of(inputs, tracer, assignment)
    seconds = assignment.budget.seconds or None
    try:
        async with asyncio.timeout(seconds) as clock:
            if assignment.definition.HasField("crew"):
                return Markdown(await _Crew(work).work())
            return Markdown(await _alone(work))
    except TimeoutError:
        if clock.expired():
            raise BudgetExceeded(f"the budget of {seconds:g} seconds is spent") from None
        raise


async def _alone(work: Work) -> str:
    """Run an agent by itself."""
    agent = work.run.definition.agents[0]
    prompt = str(work.inputs.get("prompt", ""))
    answer = await turn.take(
        work,
        Place(name="turn", parent="", agent=agent),
        prompt,
        model=agent.model,
        key=work.run.secrets.get(agent.name, ""),
        allowed=[work.tools[name] for name in agent.tools if name in work.tools],
        subject=agent.name,
    )
    if agent.memory.enabled:
        await work.tracer.step("remember", _remember, work, called(agent), prompt, answer)
    return str(answer)


async def _remember(work: Work, who: str, asked: str, answer: str) -> None:
    """Write what came of something to memory: as it is, and what it comes down to."""
    work.remember("short", answer, type="task", category=who)
    work.remember("long", _insight(answer), type="fact", category=who, importance=0.7)
    work.remember("episodic", f"Asked: {asked[:500]}", type="event", category=who, importance=0.3)


def _insight(answer: str) -> str:
    """Return the first paragraph that says something, cut to its first sentences."""
    for paragraph in answer.split("\n\n"):
        text = " ".join(paragraph.split())
        if len(text) >= 20 and not text.startswith(("[offline model]", "#")):
            return text[:_INSIGHT_CHARS]
    return " ".join(answer.split())[:_INSIGHT_CHARS] or "nothing"


class Verdict(pydantic.BaseModel):
    """What a manager says of a result."""

    accepted: bool
    feedback: str = ""


class _Crew:
    """One run of a crew."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._definition = work.run.definition
        self._agents = {agent.name: agent for agent in self._definition.agents}
        self._plan = Plan.of(self._definition)
        self._results: dict[str, str] = {}
        """By task."""
        self._running: dict[str, Task] = {}
        self._slots = asyncio.Semaphore(self._definition.crew.concurrency_limit or AT_ONCE)

    async def work(self) -> str:
        """Work on every task; return the result of the last."""
        done = {task.name: asyncio.Event() for task in self._plan.tasks}
        try:
            async with asyncio.TaskGroup() as group:
                for task in self._plan.tasks:
                    group.create_task(self._when_ready(task, done), name=task.name)
        except* KodosumiError as errors:
            raise _first(errors) from None
        return self._results[self._plan.tasks[-1].name]

    async def _when_ready(self, task: Task, done: dict[str, asyncio.Event]) -> None:
        for name in task.depends_on:
            await done[name].wait()
        async with self._slots:
            self._running[task.name] = task
            await self._progress()
            self._results[task.name] = await self._work.tracer.step(task.name, self._do, task)
            del self._running[task.name]
        done[task.name].set()
        await self._progress()

    async def _progress(self) -> None:
        first = next((task for task in self._plan.tasks if task.name in self._running), None)
        text = first.description if first is not None else ""
        await self._work.tracer.progress(len(self._results), len(self._plan.tasks), text[:200])

    async def _do(self, task: Task) -> str:
        """Work on one task; what it returns is in the log, and it is never worked on again."""
        work = self._work
        prompt = prompt_of(task, work.inputs, [self._results[name] for name in task.depends_on])
        agent = self._agents.get(task.agent)
        about: dict[str, Any] = {"task_def": task.task_def, "description": task.description}
        work.trace.begin(task.name, "task", task.title, agent=agent, **about)
        try:
            if self._definition.crew.process == crew_pb2.PROCESS_HIERARCHICAL:
                agent, result = await self._managed(task, prompt)
            else:
                agent = agent or self._definition.agents[0]
                result = await self._asked(task, agent, prompt, f"{task.name}.turn")
        except KodosumiError as error:
            work.trace.end(task.name, task_def=task.task_def, error=str(error))
            raise
        work.trace.end(task.name, task_def=task.task_def, result=result, agent=agent)
        if self._definition.crew.memory:
            await _remember(work, called(agent), task.description, result)
        return result

    async def _asked(self, task: Task, agent: agent_pb2.Agent, prompt: str, name: str) -> str:
        names = dict.fromkeys((*agent.tools, *task.tools))
        answer = await turn.take(
            self._work,
            Place(name=name, parent=task.name, agent=agent, task_def=task.task_def),
            prompt,
            model=agent.model,
            key=self._work.run.secrets.get(agent.name, ""),
            allowed=[self._work.tools[name] for name in names if name in self._work.tools],
            subject=task.task_def,
        )
        return str(answer)

    # -- hierarchical --------------------------------------------------------------------------------------------

    async def _managed(self, task: Task, prompt: str) -> tuple[agent_pb2.Agent, str]:
        """Have the manager choose who works on a task, and review what comes back until it is good enough."""
        agent = self._agents.get(task.agent)
        if agent is None:
            agent = await self._chosen(task, prompt)
        asked = prompt
        result = ""
        for review in range(1, REVIEWS_MAX + 1):
            result = await self._asked(task, agent, asked, f"{task.name}.turn.{review}")
            question = (
                f"You review the work of {called(agent)}.\n\nThe task was:\n{prompt}\n\nThe result is:\n{result}\n\n"
                "Accept it if it does what was asked; else say what is missing."
            )
            verdict: Verdict = await self._manager(task, question, Verdict, f"{task.name}.review.{review}")
            if verdict.accepted:
                break
            asked = f"{prompt}\n\nYour first result was:\n{result}\n\nYour manager says: {verdict.feedback}"
        return agent, result

    async def _chosen(self, task: Task, prompt: str) -> agent_pb2.Agent:
        """Have the manager choose an agent."""
        agents = {called(agent): agent for agent in self._definition.agents}
        names = tuple(agents)
        kind: Any = Literal[names]
        choice = pydantic.create_model("Choice", agent=(kind, ...))
        team = "\n".join(f"- {name}: {agent.goal or agent.description}" for name, agent in agents.items())
        question = f"Who of your team shall do this task?\n\n{prompt}\n\nYour team:\n{team}"
        answer: Any = await self._manager(task, question, choice, f"{task.name}.choice")
        return agents[answer.agent]

    async def _manager(self, task: Task, question: str, output: Any, name: str) -> Any:
        crew, first = self._definition.crew, self._definition.agents[0]
        has_own = crew.HasField("manager")
        manager = agent_pb2.Agent(
            name=crew.name,
            display_name="Manager",
            role="the manager of a crew",
            goal=crew.description or f"to see that {crew.display_name or 'the crew'} does its tasks well",
        )
        return await turn.take(
            self._work,
            Place(name=name, parent=task.name, agent=manager, task_def=task.task_def),
            question,
            model=crew.manager if has_own else first.model,
            key=self._work.run.secrets.get(crew.name if has_own else first.name, ""),
            output=output,
        )


def _first(errors: BaseExceptionGroup[KodosumiError]) -> KodosumiError:
    """Return the first error of a group, however deep it is in it."""
    found: BaseException = errors
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    assert isinstance(found, KodosumiError)
    return found
