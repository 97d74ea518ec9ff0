"""The supervisor: start every child, wait until the mesh is ready, say so, keep it running, end it."""

import asyncio
import contextlib
import functools
import os
import pathlib
import signal
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence

from agentmesh.supervisor import forks, handing, orphans, plan, rolling, speaking
from agentmesh.supervisor.child import Child, GaveUp, kill_group, spawn
from agentmesh.supervisor.forks import Forkserver
from agentmesh.supervisor.kept import Kept
from agentmesh.supervisor.logs import LogPump

EXIT_FAILED = 1
EXIT_USAGE = 2
_END_S = 3.5
_EDGE_END_S = 0.5
_REAP_EVERY_S = 1.0
_ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_HEARD = (*_ENDING, signal.SIGUSR1)


def run(options: plan.Options, secrets: Mapping[str, str]) -> int:
    """Run a mesh until SIGTERM or SIGINT; return the exit code.  `secrets` are settings that not every program gets.

    0: it was told to end.  1: it did not become ready.  2: the options cannot be met; stderr has one line about it.
    """
    # Whoever reads our number in the data directory may signal: until somebody listens (`_signals`), signals wait.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _HEARD)
    try:
        with plan.settled(options, secrets) as settled:
            return asyncio.run(_run(settled, options))
    except (plan.UsageError, handing.TooLong) as error:
        print(f"agentmesh: {error}", file=sys.stderr)
        return EXIT_USAGE
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


async def _run(settled: plan.Plan, options: plan.Options) -> int:
    logs = LogPump(speaker=_speaker(options.log_format), kept=Kept(options.data_dir))
    stopping = asyncio.Event()
    family = orphans.Family()
    family.found()
    forkserver = Forkserver(plan.preloads(settled), settled.env, logs, family)
    children = [
        Child(
            spec,
            plan.child_env(spec, settled.env),
            logs,
            secrets=handing.chosen(settled.secrets, spec.service.secrets),
            fork=forkserver.fork if spec.service.preload and forks.POSSIBLE else None,
            family=family,
        )
        for spec in settled.children
    ]

    async def healthy(child: Child) -> bool:
        return await _open(settled, [child.spec], logs, family) == 0

    folder = pathlib.Path(settled.env["AGENTMESH_DATA_DIR"])
    services = rolling.Rolling(children, healthy, forkserver.renew, folder, logs)
    with _signals(stopping, children, services), _eof(stopping) if options.until_eof else contextlib.nullcontext():
        try:
            return await _supervise(settled, options, children, services, forkserver, logs, stopping, family)
        finally:
            orphans.kill_all()
            logs.close()


async def _supervise(
    settled: plan.Plan,
    options: plan.Options,
    children: list[Child],
    services: rolling.Rolling,
    forkserver: Forkserver,
    logs: LogPump,
    stopping: asyncio.Event,
    family: orphans.Family,
) -> int:
    ready = asyncio.Event()
    tasks = [asyncio.create_task(child.run(ready), name=child.spec.name) for child in children]
    opening = asyncio.create_task(
        _open(settled, settled.children, logs, family, examples=options.examples), name="opening"
    )
    renewing = asyncio.create_task(_roll(services, ready), name="renewing")
    stop = asyncio.create_task(stopping.wait(), name="stop")
    reaper = asyncio.create_task(_reap(), name="reaper")
    code = 0
    try:
        await asyncio.wait([*tasks, opening, stop], return_when=asyncio.FIRST_COMPLETED)
        if not stopping.is_set() and opening.done() and opening.result() == 0:
            ready.set()
            _announce(settled.url, people=options.log_format == "text")
            await asyncio.wait([*tasks, stop], return_when=asyncio.FIRST_COMPLETED)
        if not stopping.is_set():
            code = EXIT_FAILED
            logs.say(_why(tasks))
    finally:
        beside = (opening, reaper, stop, renewing)
        for task in beside:
            task.cancel()
        await asyncio.gather(*beside, return_exceptions=True)
        forkserver.end()
        await _end(children, tasks)
        await forkserver.wait()
    return code


def _speaker(log_format: str) -> speaking.Speaker:
    if log_format == "json":
        return speaking.json_line
    colours = os.isatty(2) and not os.environ.get("NO_COLOR")
    return functools.partial(speaking.text_line, colours=colours)


def _why(tasks: Iterable[asyncio.Task[None]]) -> str:
    for task in tasks:
        if task.done() and (error := task.exception()) is not None:
            return f"giving up: {error if isinstance(error, GaveUp) else repr(error)}"
    return "giving up: the mesh did not become ready; the lines above say what was missing"


async def _roll(services: rolling.Rolling, ready: asyncio.Event) -> None:
    """Restart services whenever it is asked for, once the mesh is ready."""
    await ready.wait()
    await services.run()


async def _open(
    settled: plan.Plan,
    specs: Sequence[plan.ChildSpec],
    logs: LogPump,
    family: orphans.Family,
    *,
    examples: bool = False,
) -> int:
    """Run `opening.py` to its end; its exit code is 0 when all of `specs` answer."""
    argv = [sys.executable, "-P", "-m", "agentmesh.supervisor.opening", settled.probe_url]
    argv += [f"{spec.name}={spec.service.probe}={spec.address}" for spec in specs if spec.service.probe != "none"]
    argv += ["--data", settled.env["AGENTMESH_DATA_DIR"], *(["--examples"] if examples else []), *settled.door]
    secrets = handing.chosen(settled.secrets, (handing.ADMIN_PASSWORD,))
    with family.birth():
        process = await spawn("mesh", argv, settled.env, logs, secrets=secrets)
        family.add(process.pid)
    try:
        return await process.wait()
    finally:
        if process.returncode is None:
            kill_group(process.pid)
            await process.wait()
        family.remove(process.pid)


def _announce(url: str, *, people: bool) -> None:
    with contextlib.suppress(OSError):  # nobody reads our stdout: the mesh runs all the same
        os.write(1, f"agentmesh ready {url}\n".encode())
    if people:
        with contextlib.suppress(OSError):
            os.write(2, f"the panel is at {url}; Ctrl-C ends the mesh\n".encode())


async def _end(children: list[Child], tasks: list[asyncio.Task[None]]) -> None:
    """End the children in their order, the front door first, so that nobody is told half a story."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + _END_S
    orders = sorted({child.spec.service.stop_order for child in children})
    for order in orders:
        for child in children:
            if child.spec.service.stop_order == order:
                child.end()
        wait_s = deadline - loop.time()
        if order == orders[0]:
            wait_s = _EDGE_END_S
        elif order != orders[-1]:
            wait_s *= 0.6  # leave the rest a chance to end by themselves
        ending = [task for child, task in zip(children, tasks, strict=True) if child.spec.service.stop_order <= order]
        await asyncio.wait(ending, timeout=max(wait_s, 0.1))
    for child in children:
        child.kill()
    await asyncio.wait(tasks, timeout=1.0)
    for task in tasks:
        if not task.done():
            task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@contextlib.contextmanager
def _signals(stopping: asyncio.Event, children: list[Child], services: rolling.Rolling) -> Iterator[None]:
    """Stop on SIGTERM, SIGINT and SIGHUP; on a second one, at once.  SIGUSR1 asks for a planned restart.

    Signals are let in here, also those that came before; a child that is started in the block has none held back.
    """
    loop = asyncio.get_running_loop()

    def stop() -> None:
        if stopping.is_set():
            for child in children:
                child.kill()
        stopping.set()

    handlers = {**dict.fromkeys(_ENDING, stop), signal.SIGUSR1: services.ask}
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:  # nohup
        del handlers[signal.SIGHUP]
    for number, handler in handlers.items():
        loop.add_signal_handler(number, handler)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _HEARD)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_BLOCK, _HEARD)  # for a moment they would end us
        for number in handlers:
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_IGN)  # we are on our way out


@contextlib.contextmanager
def _eof(stopping: asyncio.Event) -> Iterator[None]:
    """Stop when standard input ends; what comes there is nobody's."""
    loop = asyncio.get_running_loop()

    def read() -> None:
        try:
            if os.read(0, 4096):
                return
        except OSError:  # as good as an end
            pass
        loop.remove_reader(0)
        stopping.set()

    try:
        loop.add_reader(0, read)
    except OSError:  # it is a file, or nothing: it has ended
        stopping.set()
        yield
        return
    try:
        yield
    finally:
        loop.remove_reader(0)


async def _reap() -> None:
    """Collect adopted processes that have ended, so that none stays a zombie."""
    suspects: set[int] = set()
    while True:
        await asyncio.sleep(_REAP_EVERY_S)
        suspects = orphans.reap(suspects)
