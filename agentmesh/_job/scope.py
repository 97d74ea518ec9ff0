"""Which job runs now, in a worker that several jobs share.

It is a context variable: the tasks that a job's task makes are the job's, and so are calls in `asyncio.to_thread`;
threads that it starts by itself are not, as Python has it.  In a process with one job it is never set.
"""

import contextvars
from typing import Any

job: contextvars.ContextVar[Any] = contextvars.ContextVar("job", default=None)
