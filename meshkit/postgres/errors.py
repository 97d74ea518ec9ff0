"""What PostgreSQL's errors mean for who asked, told apart by SQLSTATE, never by texts.

https://www.postgresql.org/docs/current/errcodes-appendix.html
"""

import asyncio
import enum
import threading

import asyncpg
import structlog

from meshkit.errors import MeshError, Unavailable

log = structlog.get_logger()


class Kind(enum.Enum):
    """What to do about an error."""

    LOST = "lost"
    """The connection is gone, or the server is: another connection may do."""
    AGAIN = "again"
    """Nothing has been done, and the same may work at once: a deadlock, a plan that is out of date."""
    BUSY = "busy"
    """Nothing has been done; it may work later: no space, no memory, a lock that somebody holds for long."""
    WRONG = "wrong"
    """The server will not have us: a password, a database, a right."""
    OTHER = "other"
    """It is about what was asked: whoever asked knows."""


_BY_STATE = {
    "40001": Kind.AGAIN,  # serialization failure
    "40P01": Kind.AGAIN,  # deadlock
    "25006": Kind.LOST,  # read only: the server has become a standby
    "25P03": Kind.LOST,  # idle in transaction for too long: we stood still
    "53300": Kind.LOST,  # too many connections
    "55P03": Kind.BUSY,  # lock timeout
    "57014": Kind.BUSY,  # statement timeout
    "57P01": Kind.LOST,  # the server shuts down
    "57P02": Kind.LOST,  # it crashes
    "57P03": Kind.LOST,  # it starts
    "57P05": Kind.LOST,  # idle session timeout
}
_BY_CLASS = {"08": Kind.LOST, "28": Kind.WRONG, "3D": Kind.WRONG, "53": Kind.BUSY, "58": Kind.BUSY}


def kind(error: BaseException) -> Kind:
    """Return what an error means."""
    if isinstance(error, asyncpg.InvalidCachedStatementError):
        return Kind.AGAIN
    if isinstance(error, asyncpg.PostgresError):
        state = str(error.sqlstate or "")
        return _BY_STATE.get(state) or _BY_CLASS.get(state[:2], Kind.OTHER)
    if isinstance(error, OSError | TimeoutError | asyncio.TimeoutError | asyncpg.InternalClientError | EOFError):
        return Kind.LOST
    return Kind.OTHER


def refusal(error: BaseException, address: str) -> Unavailable:
    """Return what a caller is told; the log has the server's own words."""
    if isinstance(error, Unavailable):
        return error
    return Unavailable(f"PostgreSQL at {address} cannot be used now: {why(error)}")


def why(error: BaseException) -> str:
    """Say in few words what is wrong, without what was asked."""
    if isinstance(error, asyncpg.PostgresError):
        return str(error.args[0]) if error.args else type(error).__name__
    if isinstance(error, TimeoutError):
        return "it does not answer"
    if isinstance(error, OSError):
        return error.strerror or str(error) or type(error).__name__
    return str(error) or type(error).__name__


class Trouble:
    """Says in the log when a server cannot be used any more, and when it can again: once each."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._lock = threading.Lock()
        self.said = ""
        """What was said last; empty while all is well."""

    def begins(self, error: BaseException) -> None:
        """Note that something could not be done."""
        text = str(error) if isinstance(error, MeshError) else why(error)
        with self._lock:
            said, self.said = self.said, text
        if said != text:
            log.error("database in trouble", database=self._address, why=text)

    def ends(self) -> None:
        """Note that something could be done."""
        if not self.said:
            return
        with self._lock:
            said, self.said = self.said, ""
        if said:
            log.info("database works again", database=self._address)
