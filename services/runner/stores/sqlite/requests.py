"""The requests that callers repeat, in the runner's file: written with what they have made."""

import sqlite3

from meshkit.errors import AlreadyExists
from meshkit.idempotency import Request


def insert_request(connection: sqlite3.Connection, request: Request, now: float) -> None:
    """Keep a request.  Raises `AlreadyExists` if it was made before."""
    try:
        connection.execute(
            "INSERT INTO requests (owner, request_id, body_hash, answer, created_at) VALUES (?, ?, ?, ?, ?)",
            (request.owner, request.request_id, request.body_hash, request.answer, now),
        )
    except sqlite3.IntegrityError:
        raise AlreadyExists("request was made before", resource=request.request_id) from None
