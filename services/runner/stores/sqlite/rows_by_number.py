"""A script of the runner's schema in SQLite: tables whose rows may be large become trees of numbers.

As a tree of its key, without row ids, a table keeps whole rows where it is searched: each step of a search compares
with a row, and reads all of it, were it megabytes.  With 400 jobs of a megabyte a lookup of any job took 7 ms in place
of 0.02, on the loop and in every write.  An index of the key has keys alone.

Whatever is on a table, indices and triggers, goes with it: the triggers are made again behind the rows.
"""


def _moved(table: str, columns: str) -> str:
    return f"""
    ALTER TABLE {table} RENAME TO keyed_{table};
    CREATE TABLE {table} ({columns});
    INSERT INTO {table} SELECT * FROM keyed_{table};
    DROP TABLE keyed_{table};
    """


def _counted(table: str, name: str, when: str, owner: str, change: str) -> str:
    stored = f"INSERT INTO stored_bytes VALUES ({owner}, {change}) ON CONFLICT (owner) DO UPDATE"
    return f"CREATE TRIGGER {table}_{name} AFTER {when} BEGIN {stored} SET bytes = bytes + excluded.bytes; END;\n"


def _of_schedule(row: str) -> str:
    return f"1000 + length(CAST({row}.inputs_json AS BLOB)) + length(CAST({row}.sealed AS BLOB))"


_JOBS = """
      job_id TEXT NOT NULL PRIMARY KEY, flow TEXT NOT NULL, owner TEXT NOT NULL, state TEXT NOT NULL,
      reason TEXT NOT NULL, error TEXT NOT NULL, result_json TEXT NOT NULL, inputs_json TEXT NOT NULL,
      inputs_blob BLOB NOT NULL, meta_json TEXT NOT NULL, extra_json TEXT NOT NULL, entry_point TEXT NOT NULL,
      base_url TEXT NOT NULL, created_at REAL NOT NULL, started_at REAL NOT NULL, finished_at REAL NOT NULL,
      updated_at REAL NOT NULL, last_seq INTEGER NOT NULL, host_id TEXT NOT NULL, epoch INTEGER NOT NULL,
      source_seq INTEGER NOT NULL, pending_locks TEXT NOT NULL DEFAULT '', payment_json TEXT NOT NULL DEFAULT '',
      payment_step TEXT NOT NULL DEFAULT '', payment_todo TEXT NOT NULL DEFAULT '', due_at REAL NOT NULL DEFAULT 0,
      target TEXT NOT NULL DEFAULT '', isolation TEXT NOT NULL DEFAULT 'process', labels_json TEXT NOT NULL DEFAULT '',
      conversation TEXT NOT NULL DEFAULT '', attempt INTEGER NOT NULL DEFAULT 0,
      input_tokens INTEGER NOT NULL DEFAULT 0, output_tokens INTEGER NOT NULL DEFAULT 0,
      cost_micros INTEGER NOT NULL DEFAULT 0, progress REAL NOT NULL DEFAULT -1,
      progress_text TEXT NOT NULL DEFAULT '', attempts_max INTEGER NOT NULL DEFAULT 1,
      concurrency_limit INTEGER NOT NULL DEFAULT 0, stored_bytes INTEGER NOT NULL DEFAULT 0,
      sealed BLOB NOT NULL DEFAULT x'', retries_json TEXT NOT NULL DEFAULT '', failures INTEGER NOT NULL DEFAULT 0,
      deadline_at REAL NOT NULL DEFAULT 0, budget_json TEXT NOT NULL DEFAULT '', traceparent TEXT NOT NULL DEFAULT ''
"""
_LOCKS = """
      lock_id TEXT NOT NULL PRIMARY KEY, job_id TEXT NOT NULL, owner TEXT NOT NULL, title TEXT NOT NULL,
      elements_json TEXT NOT NULL, data_json TEXT NOT NULL, created_at REAL NOT NULL, expires_at REAL NOT NULL,
      state TEXT NOT NULL, answered_at REAL NOT NULL, answered_by TEXT NOT NULL, result_json TEXT NOT NULL,
      sealed BLOB NOT NULL DEFAULT x''
"""
_MESSAGES = """
      conversation_id TEXT NOT NULL, number INTEGER NOT NULL, role TEXT NOT NULL, content TEXT NOT NULL,
      job_id TEXT NOT NULL, created_at REAL NOT NULL, PRIMARY KEY (conversation_id, number)
"""
_SCHEDULES = """
      schedule_id TEXT NOT NULL PRIMARY KEY, owner TEXT NOT NULL, display_name TEXT NOT NULL, target TEXT NOT NULL,
      inputs_json TEXT NOT NULL, sealed BLOB NOT NULL, cron TEXT NOT NULL, run_at REAL NOT NULL,
      time_zone TEXT NOT NULL, missed TEXT NOT NULL, missed_runs_max INTEGER NOT NULL, overlap TEXT NOT NULL,
      jitter_s INTEGER NOT NULL, starts_at REAL NOT NULL, ends_at REAL NOT NULL, labels_json TEXT NOT NULL,
      key_json TEXT NOT NULL, state TEXT NOT NULL, message TEXT NOT NULL, created_at REAL NOT NULL,
      updated_at REAL NOT NULL, next_tick REAL NOT NULL, next_at REAL NOT NULL, firing_count INTEGER NOT NULL
"""
_OPEN = "state NOT IN ('succeeded', 'failed', 'cancelled')"
_NEW_OPEN, _OLD_OPEN = f"NEW.{_OPEN}", f"OLD.{_OPEN}"
_CONVERSATION = "SELECT owner FROM conversations WHERE conversation_id = {row}.conversation_id"
_REMAINS = "SELECT owner FROM remains WHERE kind = 'conversations' AND name = OLD.conversation_id"

ROWS_BY_NUMBER = (
    _moved("jobs", _JOBS)
    + f"""
    CREATE INDEX jobs_by_owner ON jobs (owner, job_id);
    CREATE INDEX jobs_todo ON jobs (job_id) WHERE payment_todo <> '';
    CREATE INDEX jobs_open ON jobs (job_id) WHERE {_OPEN};
    CREATE INDEX jobs_unasked ON jobs (job_id) WHERE state = 'awaiting_payment' AND payment_step = '';
    CREATE INDEX jobs_by_target ON jobs (target, owner, job_id);
    CREATE INDEX jobs_by_kind ON jobs (substr(target, 1, instr(target, '/')), owner, job_id);
    CREATE INDEX jobs_by_state ON jobs (state, owner, job_id);
    CREATE INDEX jobs_by_conversation ON jobs (conversation, target) WHERE conversation <> '';
    CREATE INDEX jobs_retrying ON jobs (job_id) WHERE state = 'retrying';
    CREATE INDEX jobs_late ON jobs (deadline_at, job_id) WHERE deadline_at > 0 AND {_OPEN};
    CREATE INDEX jobs_sold ON jobs (job_id) WHERE payment_step IN ('initialized', 'locked');
    CREATE TRIGGER jobs_begin AFTER INSERT ON jobs WHEN {_NEW_OPEN} BEGIN
      INSERT INTO open_counts VALUES (NEW.owner, 1) ON CONFLICT (owner) DO UPDATE SET count = count + 1;
    END;
    CREATE TRIGGER jobs_end AFTER UPDATE OF state ON jobs WHEN {_OLD_OPEN} AND NOT ({_NEW_OPEN}) BEGIN
      UPDATE open_counts SET count = count - 1 WHERE owner = OLD.owner;
    END;
    CREATE TRIGGER jobs_forgotten AFTER DELETE ON jobs WHEN {_OLD_OPEN} BEGIN
      UPDATE open_counts SET count = count - 1 WHERE owner = OLD.owner;
    END;
    """
    + _counted("jobs", "take", "INSERT ON jobs", "NEW.owner", "NEW.stored_bytes")
    + _counted(
        "jobs",
        "take_more",
        "UPDATE OF stored_bytes ON jobs WHEN NEW.stored_bytes <> OLD.stored_bytes",
        "NEW.owner",
        "NEW.stored_bytes - OLD.stored_bytes",
    )
    + _counted("jobs", "give", "DELETE ON jobs", "OLD.owner", "-OLD.stored_bytes")
    + _moved("locks", _LOCKS)
    + """
    -- With the state of each: who has ended is told from who waits without its form, which stands before the state.
    CREATE INDEX locks_by_job ON locks (job_id, lock_id, state);
    CREATE INDEX locks_waiting ON locks (job_id, created_at, lock_id) WHERE state = 'pending';
    CREATE INDEX locks_asking ON locks (owner, created_at, lock_id) WHERE state = 'pending';
    CREATE INDEX locks_by_owner ON locks (owner, created_at, lock_id);
    CREATE INDEX locks_pending ON locks (expires_at, lock_id) WHERE state = 'pending';
    CREATE INDEX locks_open ON locks (owner, expires_at, lock_id) WHERE state = 'pending';
    """
    + _moved("briefs", "job_id TEXT NOT NULL PRIMARY KEY, brief BLOB NOT NULL")
    + _moved("messages", _MESSAGES)
    + _counted(
        "messages",
        "take",
        "INSERT ON messages",
        f"({_CONVERSATION.format(row='NEW')})",
        "100 + length(CAST(NEW.content AS BLOB))",
    )
    + _counted(
        "messages",
        "give",
        "DELETE ON messages",
        f"coalesce(({_CONVERSATION.format(row='OLD')}), ({_REMAINS}))",
        "-100 - length(CAST(OLD.content AS BLOB))",
    )
    + _moved("schedules", _SCHEDULES)
    + """
    CREATE INDEX schedules_by_owner ON schedules (owner, schedule_id);
    CREATE INDEX schedules_due ON schedules (next_at) WHERE next_at > 0;
    """
    + _counted("schedules", "take", "INSERT ON schedules", "NEW.owner", _of_schedule("NEW"))
    + _counted("schedules", "give", "DELETE ON schedules", "OLD.owner", f"-({_of_schedule('OLD')})")
    + _counted(
        "schedules",
        "change",
        "UPDATE OF inputs_json, sealed ON schedules",
        "NEW.owner",
        f"{_of_schedule('NEW')} - ({_of_schedule('OLD')})",
    )
)
"""The script."""
