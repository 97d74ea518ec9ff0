"""`python -m tests.payments.process`: the payments service as a process, on a provider that is kept in a file.

`KILL` names a call of the provider, and whether it has been carried out, at which the process dies by SIGKILL:
`request:before`, `request:after`.
"""

import asyncio
import os
import pathlib

from meshkit.server import until_signal
from meshkit.telemetry import observability
from services.payments import app
from services.payments.config import Config
from tests.payments.escrows import Escrows, Fault
from tests.payments.stand import PACE


async def main() -> None:
    """Serve until SIGTERM; say the port on stdout."""
    observability.configure("payments")
    escrows = Escrows(path=pathlib.Path(os.environ["ESCROWS"]))
    if kill := os.environ.get("KILL"):
        call, _, when = kill.partition(":")
        escrows.fail(call, Fault(kill=True, after=when == "after"))
    stopping = asyncio.Event()
    async with app.running(Config(), providers={"Preprod": (escrows, PACE)}, stopping=stopping) as port:
        print(port, flush=True)
        await until_signal(stopping)


if __name__ == "__main__":
    asyncio.run(main())
