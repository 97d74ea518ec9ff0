"""The index of the texts of jobs in SQLite: which jobs may hold a query, without looking at all.

`job_texts` is an FTS5 table of grams: for each five characters that follow each other in the text of a job
(`texts.SQL`) it keeps the job's number, and by its prefix index also for each three.  A job that holds a query holds
all grams of it; the other way round is checked with the text itself.  (Of three characters alone, as FTS5 can cut them
by itself, each digit's are in a hundredth of all jobs: among a million, a number took three times as long to find.)
The table keeps neither texts nor places in them, so it takes some bytes for each character: four in prose.

- **Numbers** sort as jobs do, newest last, so that the newest candidates are read first and the others not at all: the
  second in which a job was born (the head of its id), then a count.  `indexed_jobs` tells whose number it is.
- **An owner** is one more gram, longer than any other: the jobs of others are leapt over.
- **Only jobs that have ended** are in it: their text is final.  A job that ends is put on the list `unindexed_jobs` in
  the same step, and leaves it in the step that indexes it; a crash in between loses nothing.

The index grows in small steps, since each holds up the writes of jobs: `index` takes a few jobs, `merge` does a bounded
piece of the merging that FTS5 would otherwise do within somebody's commit, up to 200 ms of it.
"""

import dataclasses
import hashlib
import sqlite3

from services.runner.stores import texts

GRAM = 3
"""Characters; a shorter query cannot be looked up."""
_LONG_GRAM = 5
BATCH_MAX = 50
_BATCH_CHARS_MAX = 4 * texts.CHARS_MAX
_MERGE_PAGES = 32
_GRAMS_MAX = 32
"""Of a query: more make a lookup slower, and hardly sharper."""
_COUNT_BITS = 20
"""A million jobs a second: far beyond what one file can take."""
NUMBER_MAX = (1 << 63) - 1
_OWNER = "\ue000" * GRAM
"""How the gram of an owner begins: with what nobody types, since the prefix index has it too."""
_NOWHERE = "nowhere"
"""Longer than a gram, and no owner: in no job."""
# What the tokenizer would cut at is moved to where it cuts nothing.  What it thereby takes for one is told apart later.
_UNCUT = {code: code + 0x80 for code in range(0x80) if not chr(code).isalnum()}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A job that is to be indexed."""

    job_id: str
    grams: str
    """Of its text and owner, with blanks between them."""


def second(job_id: str) -> int:
    """Return the second in which a job was born."""
    return int(job_id[:8], 16)


def second_of(number: int) -> int:
    """Return the second in which the job of a number was born."""
    return number >> _COUNT_BITS


def end_of(moment_s: int) -> int:
    """Return the first number that is behind those of a second."""
    return (moment_s + 1) << _COUNT_BITS


def enlist(connection: sqlite3.Connection, job_id: str) -> None:
    """Put a job that ends on the list of those to be indexed."""
    connection.execute("INSERT INTO unindexed_jobs (job_id) VALUES (?)", (job_id,))


def waiting(connection: sqlite3.Connection) -> list[Entry]:
    """Return the next jobs to be indexed: few, and of bounded length."""
    rows = connection.execute(
        f"SELECT job_id, {texts.SQL}, owner FROM unindexed_jobs CROSS JOIN jobs USING (job_id) "
        f"ORDER BY job_id LIMIT {BATCH_MAX}"
    )
    found: list[Entry] = []
    chars = 0
    for job_id, text, owner in rows:
        chars += len(text)
        if found and chars > _BATCH_CHARS_MAX:
            break
        found.append(Entry(job_id=job_id, grams=_grams(text, owner)))
    return found


def index(connection: sqlite3.Connection, entries: list[Entry]) -> None:
    """Index jobs, in the order of their ids; those that were deleted meanwhile are left out."""
    for entry in entries:
        if connection.execute("DELETE FROM unindexed_jobs WHERE job_id = ?", (entry.job_id,)).rowcount:
            number = _free_number(connection, second(entry.job_id))
            connection.execute("INSERT INTO indexed_jobs (number, job_id) VALUES (?, ?)", (number, entry.job_id))
            connection.execute("INSERT INTO job_texts (rowid, grams) VALUES (?, ?)", (number, entry.grams))


def merge(connection: sqlite3.Connection, table: str = "job_texts", pages: int = _MERGE_PAGES) -> bool:
    """Merge a few pages of an index; return False if there was nothing to merge.

    With negative `pages` it begins to make one segment of all (FTS5, "The 'merge' Command").
    """
    before = connection.total_changes
    connection.execute(f"INSERT INTO {table} ({table}, rank) VALUES ('merge', ?)", (pages,))
    return connection.total_changes - before >= 2  # one is the command's own (FTS5, "The 'merge' Command")


def withdraw(connection: sqlite3.Connection, job_id: str) -> None:
    """Take a job off the list or out of the index; its row must still be there, as it was indexed."""
    if connection.execute("DELETE FROM unindexed_jobs WHERE job_id = ?", (job_id,)).rowcount:
        return
    end = end_of(second(job_id))
    found = connection.execute(
        f"SELECT number, {texts.SQL}, owner FROM indexed_jobs CROSS JOIN jobs USING (job_id) "
        "WHERE number >= ? AND number < ? AND job_id = ?",
        (end - (1 << _COUNT_BITS), end, job_id),
    ).fetchone()
    if found is not None:
        number, text, owner = found
        connection.execute("DELETE FROM indexed_jobs WHERE number = ?", (number,))
        connection.execute(
            "INSERT INTO job_texts (job_texts, rowid, grams) VALUES ('delete', ?, ?)", (number, _grams(text, owner))
        )


def candidates(connection: sqlite3.Connection, match: str, below: int, limit: int) -> list[int]:
    """Return the numbers of jobs that may hold what `match_of` was made of, the newest first."""
    rows = connection.execute(
        "SELECT rowid FROM job_texts WHERE job_texts MATCH ? AND rowid < ? ORDER BY rowid DESC LIMIT ?",
        (match, below, limit),
    )
    return [row[0] for row in rows]


def match_of(query: str, owner: str | None) -> str:
    """Return the expression that finds a folded query of `GRAM` or more characters, among an owner's jobs or all."""
    uncut = query.translate(_UNCUT)
    size, suffix = (_LONG_GRAM, "") if len(uncut) >= _LONG_GRAM else (GRAM, "*")
    grams = list(dict.fromkeys(uncut[start : start + size] for start in range(len(uncut) - size + 1)))
    found = " AND ".join(f'"{gram}"{suffix}' for gram in grams[:: -(-len(grams) // _GRAMS_MAX)])
    if owner is None:
        return found
    # FTS5 makes one AND of nested ones, and would seek in the owner's long list for each job that has any of the
    # grams.  The NOT keeps the two apart, so it only seeks for those that have all: ten times faster.
    return f"(({found}) NOT {_NOWHERE}) AND {_mark(owner)}"


def _free_number(connection: sqlite3.Connection, moment_s: int) -> int:
    end = end_of(moment_s)
    first = end - (1 << _COUNT_BITS)
    statement = "SELECT max(number) FROM indexed_jobs WHERE number >= ? AND number < ?"
    last = connection.execute(statement, (first, end)).fetchone()[0]
    return first if last is None else int(last) + 1


def _grams(text: str, owner: str) -> str:
    uncut = text.translate(_UNCUT)
    # The last ones are shorter, for the prefix index.
    grams = {uncut[start : start + _LONG_GRAM] for start in range(len(uncut) - GRAM + 1)}
    return " ".join((*grams, _mark(owner)))


def _mark(owner: str) -> str:
    """Return the gram of an owner: 48 bits of a hash; the owner's name itself is compared behind it."""
    return _OWNER + hashlib.blake2b(owner.encode(), digest_size=6).hexdigest()
