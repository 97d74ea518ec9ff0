"""The process of one job: waits for its Run, runs the flow, reports, exits.

It is a fork of the zygote, so the app is loaded already.  With `fork: false` it is a fresh interpreter
(`python -m agentmesh.host.job`) that loads the app first.
"""

import asyncio
import contextlib
import json
import os
import pickle
import signal
import socket
import sys
import time
import traceback
from typing import NoReturn

from mesh.runner.v1 import host_pb2, job_pb2

from agentmesh.errors import describe
from agentmesh.execution import execute
from agentmesh.host.capture import LineWriter
from agentmesh.host.frames import Channel, Kind
from agentmesh.host.questions import Questions
from agentmesh.loading import LoadedApp, load
from agentmesh.locks import LockExpired
from agentmesh.progress import Throttle
from agentmesh.tracer import Tracer

PAYLOAD_CHARS_MAX = 4 * 1024 * 1024


def main(channel: Channel, app: LoadedApp) -> NoReturn:
    """Take one Run from the channel and carry it out; ends the process."""
    frame = channel.receive()
    if frame is None or frame[0] != Kind.RUN:
        os._exit(0)  # forked ahead and not needed
    job = _Job(channel, host_pb2.Run.FromString(frame[1]), app)
    outcome = job.carry_out()
    # A host that has gone takes the job with it, so there is nobody to tell then.
    with contextlib.suppress(OSError):
        channel.send(Kind.OUTCOME, outcome.SerializeToString())
    os._exit(0)  # not sys.exit: threads of the flow and the zygote's exit handlers are not ours to wait for


class _Job:
    def __init__(self, channel: Channel, run: host_pb2.Run, app: LoadedApp) -> None:
        self._channel = channel
        self._run = run
        self._app = app
        self._questions = Questions(channel)

    def emit(self, kind: str, payload: str) -> None:
        """Send one event; what comes after this line cannot lose it.

        Raises `ValueError` for a payload over 4 MiB.
        """
        if len(payload) > PAYLOAD_CHARS_MAX:
            raise ValueError(
                f"a {kind} event of {len(payload)} characters is too large: keep it under 4 MiB, or link to it"
            )
        event = job_pb2.Event(kind=kind, time=time.time(), payload=_encodable(payload))
        self._channel.send(Kind.EVENT, event.SerializeToString())

    def carry_out(self) -> host_pb2.Outcome:
        """Run the flow to its end, whatever the end is."""
        drawn = Throttle(lambda payload: self.emit("progress", payload))
        out = LineWriter(lambda line: self.emit("stdout", line), 1, drawn)
        err = LineWriter(lambda line: self.emit("stderr", line), 2, drawn)
        sys.stdout, sys.stderr = out, err
        self._channel.send(Kind.RUNNING)
        try:
            result = self._execute()
        except asyncio.CancelledError:
            outcome = host_pb2.Outcome(state=job_pb2.JOB_STATE_CANCELLED)
        except BaseException as error:  # SystemExit and KeyboardInterrupt of a flow are ends like any other
            outcome = host_pb2.Outcome(
                state=job_pb2.JOB_STATE_FAILED,
                reason=job_pb2.JOB_REASON_INPUT_TIMEOUT if isinstance(error, LockExpired) else job_pb2.JOB_REASON_ERROR,
                error=_encodable(describe(error)),
                detail=_encodable("".join(traceback.format_exception(error))),
            )
        else:
            outcome = _too_large(result) or host_pb2.Outcome(
                state=job_pb2.JOB_STATE_SUCCEEDED, result_json=_encodable(result)
            )
        with contextlib.suppress(OSError):
            out.finish()
            err.finish()
        return outcome

    def _execute(self) -> str:
        run = self._run
        # Pickled only by the app's own handler, in this same app (see `LaunchSpec.inputs_blob`).
        inputs = pickle.loads(run.inputs_blob) if run.inputs_blob else json.loads(run.inputs_json or "{}")
        job_id = run.job.removeprefix("jobs/")
        os.environ["KODOSUMI_FID"] = job_id
        os.environ["KODOSUMI_USER_ID"] = run.owner.removeprefix("users/")
        tracer = Tracer(job_id, self.emit, panel_url=run.base_url, app=self._app.asgi, ask=self._questions.ask)
        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        task = loop.create_task(execute(run.entry_point, inputs, tracer), name="flow")
        # A cancel arrives as SIGTERM: the flow sees CancelledError and may clean up until the host loses patience.
        loop.add_signal_handler(signal.SIGTERM, task.cancel)
        signal.signal(signal.SIGINT, signal.default_int_handler)  # the hosts ignore it, flows need not
        return loop.run_until_complete(task)


def _too_large(result: str) -> host_pb2.Outcome | None:
    if len(result) <= PAYLOAD_CHARS_MAX:
        return None
    error = f"the result has {len(result)} characters: keep it under 4 MiB, or link to it"
    return host_pb2.Outcome(state=job_pb2.JOB_STATE_FAILED, reason=job_pb2.JOB_REASON_ERROR, error=error)


def _encodable(text: str) -> str:
    """Replace lone surrogates, which UTF-8 and so protobuf cannot carry."""
    return text.encode("utf-8", "replace").decode()


def spawned() -> NoReturn:
    """Run as `python -m agentmesh.host.job FD IMPORT_PATH`: load the app, then be a job."""
    channel = Channel(socket.socket(fileno=int(sys.argv[1])))
    try:
        app = load(sys.argv[2])
    except BaseException as error:
        channel.receive()
        outcome = host_pb2.Outcome(
            state=job_pb2.JOB_STATE_FAILED,
            reason=job_pb2.JOB_REASON_ERROR,
            error=describe(error),
            detail="".join(traceback.format_exception(error)),
        )
        channel.send(Kind.OUTCOME, outcome.SerializeToString())
        os._exit(0)
    main(channel, app)


if __name__ == "__main__":
    spawned()
