"""The tables of the runner in SQLite: numbered scripts; those that have shipped are not edited."""

from services.runner.stores.sqlite.rows_by_number import ROWS_BY_NUMBER


def _octets(*columns: str) -> str:
    return " + ".join(f"length(CAST({column} AS BLOB))" for column in columns)


def _stored(owner: str, change: str) -> str:
    return (
        f"INSERT INTO stored_bytes VALUES ({owner}, {change}) "
        "ON CONFLICT (owner) DO UPDATE SET bytes = bytes + excluded.bytes"
    )


def _of_conversation(row: str) -> str:
    return f"(SELECT owner FROM conversations WHERE conversation_id = {row}.conversation_id)"


def _of_remains(row: str) -> str:
    gone = f"SELECT owner FROM remains WHERE kind = 'conversations' AND name = {row}.conversation_id"
    return f"coalesce({_of_conversation(row)}, ({gone}))"


def _of_schedule(row: str) -> str:
    return f"1000 + {_octets(row + '.inputs_json', row + '.sealed')}"


MIGRATIONS = [
    """
    CREATE TABLE jobs (
      job_id TEXT PRIMARY KEY, flow TEXT NOT NULL, owner TEXT NOT NULL, state TEXT NOT NULL, reason TEXT NOT NULL,
      error TEXT NOT NULL, result_json TEXT NOT NULL, inputs_json TEXT NOT NULL, inputs_blob BLOB NOT NULL,
      meta_json TEXT NOT NULL, extra_json TEXT NOT NULL, entry_point TEXT NOT NULL, base_url TEXT NOT NULL,
      created_at REAL NOT NULL, started_at REAL NOT NULL, finished_at REAL NOT NULL, updated_at REAL NOT NULL,
      last_seq INTEGER NOT NULL, host_id TEXT NOT NULL, epoch INTEGER NOT NULL, source_seq INTEGER NOT NULL
    ) WITHOUT ROWID;
    CREATE INDEX jobs_by_owner ON jobs (owner, job_id);
    CREATE INDEX jobs_open ON jobs (state) WHERE state NOT IN ('succeeded', 'failed', 'cancelled');
    CREATE TABLE events (
      job_id TEXT NOT NULL, seq INTEGER NOT NULL, kind TEXT NOT NULL, time REAL NOT NULL, payload TEXT NOT NULL,
      detail TEXT NOT NULL, PRIMARY KEY (job_id, seq)
    ) WITHOUT ROWID;
    CREATE TABLE requests (
      owner TEXT NOT NULL, request_id TEXT NOT NULL, body_hash TEXT NOT NULL, answer BLOB NOT NULL,
      created_at REAL NOT NULL, PRIMARY KEY (owner, request_id)
    ) WITHOUT ROWID;
    CREATE TABLE apps (
      expose TEXT PRIMARY KEY, import_path TEXT NOT NULL, runtime_env_json TEXT NOT NULL,
      deployments_json TEXT NOT NULL, fork INTEGER NOT NULL, host_id TEXT NOT NULL
    ) WITHOUT ROWID;
    """,
    """
    ALTER TABLE jobs ADD COLUMN pending_locks TEXT NOT NULL DEFAULT '';
    ALTER TABLE jobs ADD COLUMN payment_json TEXT NOT NULL DEFAULT '';
    ALTER TABLE jobs ADD COLUMN payment_step TEXT NOT NULL DEFAULT '';
    ALTER TABLE jobs ADD COLUMN payment_todo TEXT NOT NULL DEFAULT '';
    ALTER TABLE jobs ADD COLUMN due_at REAL NOT NULL DEFAULT 0;
    CREATE INDEX jobs_todo ON jobs (job_id) WHERE payment_todo <> '';
    CREATE TABLE locks (
      lock_id TEXT PRIMARY KEY, job_id TEXT NOT NULL, owner TEXT NOT NULL, title TEXT NOT NULL,
      elements_json TEXT NOT NULL, data_json TEXT NOT NULL, created_at REAL NOT NULL, expires_at REAL NOT NULL,
      state TEXT NOT NULL, answered_at REAL NOT NULL, answered_by TEXT NOT NULL, result_json TEXT NOT NULL
    ) WITHOUT ROWID;
    CREATE INDEX locks_by_job ON locks (job_id);
    CREATE INDEX locks_by_owner ON locks (owner, created_at);
    CREATE INDEX locks_pending ON locks (expires_at) WHERE state = 'pending';
    """,
    """
    ALTER TABLE jobs ADD COLUMN target TEXT NOT NULL DEFAULT '';
    ALTER TABLE jobs ADD COLUMN isolation TEXT NOT NULL DEFAULT 'process';
    ALTER TABLE jobs ADD COLUMN labels_json TEXT NOT NULL DEFAULT '';
    ALTER TABLE jobs ADD COLUMN conversation TEXT NOT NULL DEFAULT '';
    ALTER TABLE jobs ADD COLUMN attempt INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE jobs ADD COLUMN input_tokens INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE jobs ADD COLUMN output_tokens INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE jobs ADD COLUMN cost_micros INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE jobs ADD COLUMN progress REAL NOT NULL DEFAULT -1;
    ALTER TABLE jobs ADD COLUMN progress_text TEXT NOT NULL DEFAULT '';
    UPDATE jobs SET target = flow;
    DROP INDEX jobs_open;
    CREATE INDEX jobs_open ON jobs (job_id) WHERE state NOT IN ('succeeded', 'failed', 'cancelled');
    CREATE INDEX jobs_unasked ON jobs (job_id) WHERE state = 'awaiting_payment' AND payment_step = '';
    CREATE INDEX locks_open ON locks (owner, expires_at) WHERE state = 'pending';
    ALTER TABLE apps ADD COLUMN isolation TEXT NOT NULL DEFAULT '';
    ALTER TABLE apps RENAME COLUMN host_id TO host_ids;
    -- The search: `stores.index` says what these are.  Merging is its own business (automerge, crisismerge).
    CREATE TABLE unindexed_jobs (job_id TEXT PRIMARY KEY) WITHOUT ROWID;
    CREATE TABLE indexed_jobs (number INTEGER PRIMARY KEY, job_id TEXT NOT NULL);
    CREATE VIRTUAL TABLE job_texts USING fts5 (
      grams, content = '', detail = none, columnsize = 0, prefix = 3, tokenize = 'ascii'
    );
    INSERT INTO job_texts (job_texts, rank) VALUES ('automerge', 0);
    INSERT INTO job_texts (job_texts, rank) VALUES ('crisismerge', 500);
    INSERT INTO unindexed_jobs SELECT job_id FROM jobs WHERE state IN ('succeeded', 'failed', 'cancelled');
    """,
    """
    -- How many jobs of an owner have not ended: counted as they come and go, for a limit that costs the same with many.
    CREATE TABLE open_counts (owner TEXT PRIMARY KEY, count INTEGER NOT NULL) WITHOUT ROWID;
    INSERT INTO open_counts SELECT owner, count(*) FROM jobs
      WHERE state NOT IN ('succeeded', 'failed', 'cancelled') GROUP BY owner;
    CREATE TRIGGER jobs_begin AFTER INSERT ON jobs
      WHEN NEW.state NOT IN ('succeeded', 'failed', 'cancelled')
      BEGIN
        INSERT INTO open_counts VALUES (NEW.owner, 1) ON CONFLICT (owner) DO UPDATE SET count = count + 1;
      END;
    CREATE TRIGGER jobs_end AFTER UPDATE OF state ON jobs
      WHEN OLD.state NOT IN ('succeeded', 'failed', 'cancelled') AND NEW.state IN ('succeeded', 'failed', 'cancelled')
      BEGIN
        UPDATE open_counts SET count = count - 1 WHERE owner = OLD.owner;
      END;
    CREATE TRIGGER jobs_forgotten AFTER DELETE ON jobs
      WHEN OLD.state NOT IN ('succeeded', 'failed', 'cancelled')
      BEGIN
        UPDATE open_counts SET count = count - 1 WHERE owner = OLD.owner;
      END;
    """,
    """
    -- In the order of their writing, with an index beside: as a tree of its key each event of 1 kB took 4.7 kB, and
    -- rows went into its midst.
    ALTER TABLE events RENAME TO keyed_events;
    CREATE TABLE events (
      job_id TEXT NOT NULL, seq INTEGER NOT NULL, kind TEXT NOT NULL, time REAL NOT NULL, payload TEXT NOT NULL,
      detail TEXT NOT NULL, PRIMARY KEY (job_id, seq)
    );
    INSERT INTO events SELECT * FROM keyed_events ORDER BY job_id, seq;
    DROP TABLE keyed_events;
    """,
    """
    CREATE TABLE deleted_jobs (job_id TEXT PRIMARY KEY, owner TEXT NOT NULL, deleted_at REAL NOT NULL) WITHOUT ROWID;
    CREATE INDEX deleted_jobs_by_owner ON deleted_jobs (owner, deleted_at);
    CREATE INDEX deleted_jobs_by_time ON deleted_jobs (deleted_at);
    """,
    """
    ALTER TABLE jobs ADD COLUMN attempts_max INTEGER NOT NULL DEFAULT 1;
    ALTER TABLE jobs ADD COLUMN concurrency_limit INTEGER NOT NULL DEFAULT 0;
    CREATE TABLE briefs (job_id TEXT PRIMARY KEY, brief BLOB NOT NULL) WITHOUT ROWID;
    CREATE INDEX jobs_by_target ON jobs (target, owner, job_id);
    CREATE INDEX jobs_by_kind ON jobs (substr(target, 1, instr(target, '/')), owner, job_id);
    CREATE INDEX jobs_by_state ON jobs (state, owner, job_id);
    CREATE INDEX jobs_by_conversation ON jobs (conversation, target) WHERE conversation <> '';
    CREATE INDEX jobs_retrying ON jobs (job_id) WHERE state = 'retrying';
    CREATE TABLE conversations (
      conversation_id TEXT PRIMARY KEY, owner TEXT NOT NULL, title TEXT NOT NULL, summary TEXT NOT NULL,
      active INTEGER NOT NULL, message_count INTEGER NOT NULL, job_count INTEGER NOT NULL, created_at REAL NOT NULL,
      updated_at REAL NOT NULL, last_message_at REAL NOT NULL
    ) WITHOUT ROWID;
    CREATE INDEX conversations_by_owner ON conversations (owner, last_message_at, conversation_id);
    CREATE INDEX conversations_by_time ON conversations (last_message_at, conversation_id);
    CREATE TABLE messages (
      conversation_id TEXT NOT NULL, number INTEGER NOT NULL, role TEXT NOT NULL, content TEXT NOT NULL,
      job_id TEXT NOT NULL, created_at REAL NOT NULL, PRIMARY KEY (conversation_id, number)
    ) WITHOUT ROWID;
    -- Numbers are never used twice: a page token or a log that names one stays true.
    CREATE TABLE memories (
      number INTEGER PRIMARY KEY AUTOINCREMENT, owner TEXT NOT NULL, scope TEXT NOT NULL, layer TEXT NOT NULL,
      content TEXT NOT NULL, type TEXT NOT NULL, category TEXT NOT NULL, importance REAL NOT NULL, job_id TEXT NOT NULL,
      created_at REAL NOT NULL
    );
    CREATE INDEX memories_by_scope ON memories (owner, scope, layer, number);
    CREATE TABLE memory_terms (number INTEGER NOT NULL, term TEXT NOT NULL, PRIMARY KEY (number, term)) WITHOUT ROWID;
    CREATE INDEX memory_terms_by_term ON memory_terms (term, number);
    CREATE VIRTUAL TABLE memory_texts USING fts5 (content, tokenize = 'porter unicode61 remove_diacritics 2');
    """,
    f"""
    -- How many bytes are kept of an owner, counted as they come and go: `domain.pages` says what counts.
    ALTER TABLE jobs ADD COLUMN stored_bytes INTEGER NOT NULL DEFAULT 0;
    UPDATE jobs SET stored_bytes = 100
      + {_octets("inputs_json", "result_json", "meta_json", "extra_json", "error", "inputs_blob")}
      + coalesce((SELECT sum(100 + {_octets("kind", "payload", "detail")})
        FROM events WHERE events.job_id = jobs.job_id), 0)
      + coalesce((SELECT sum(100 + {_octets("title", "elements_json", "data_json", "locks.result_json")})
        FROM locks WHERE locks.job_id = jobs.job_id), 0)
      + coalesce((SELECT length(brief) FROM briefs WHERE briefs.job_id = jobs.job_id), 0);
    CREATE TABLE stored_bytes (owner TEXT PRIMARY KEY, bytes INTEGER NOT NULL) WITHOUT ROWID;
    INSERT INTO stored_bytes SELECT owner, sum(bytes) FROM (
      SELECT owner, sum(stored_bytes) AS bytes FROM jobs GROUP BY owner
      UNION ALL SELECT owner, 1000 * count(*) FROM conversations GROUP BY owner
      UNION ALL SELECT owner, sum(100 + {_octets("content")}) FROM messages JOIN conversations
        USING (conversation_id) GROUP BY owner
      UNION ALL SELECT owner, sum(100 + {_octets("content")}) FROM memories GROUP BY owner
    ) GROUP BY owner;
    CREATE TRIGGER jobs_take AFTER INSERT ON jobs
      BEGIN {_stored("NEW.owner", "NEW.stored_bytes")}; END;
    CREATE TRIGGER jobs_take_more AFTER UPDATE OF stored_bytes ON jobs WHEN NEW.stored_bytes <> OLD.stored_bytes
      BEGIN {_stored("NEW.owner", "NEW.stored_bytes - OLD.stored_bytes")}; END;
    CREATE TRIGGER jobs_give AFTER DELETE ON jobs
      BEGIN {_stored("OLD.owner", "-OLD.stored_bytes")}; END;
    CREATE TRIGGER conversations_take AFTER INSERT ON conversations
      BEGIN {_stored("NEW.owner", "1000")}; END;
    CREATE TRIGGER conversations_give AFTER DELETE ON conversations
      BEGIN {_stored("OLD.owner", "-1000")}; END;
    CREATE TRIGGER messages_take AFTER INSERT ON messages
      BEGIN {_stored(_of_conversation("NEW"), f"100 + {_octets('NEW.content')}")}; END;
    CREATE TRIGGER messages_give AFTER DELETE ON messages
      BEGIN {_stored(_of_conversation("OLD"), f"-100 - {_octets('OLD.content')}")}; END;
    CREATE TRIGGER memories_take AFTER INSERT ON memories
      BEGIN {_stored("NEW.owner", f"100 + {_octets('NEW.content')}")}; END;
    CREATE TRIGGER memories_give AFTER DELETE ON memories
      BEGIN {_stored("OLD.owner", f"-100 - {_octets('OLD.content')}")}; END;
    """,
    """
    ALTER TABLE jobs ADD COLUMN sealed BLOB NOT NULL DEFAULT x'';
    ALTER TABLE locks ADD COLUMN sealed BLOB NOT NULL DEFAULT x'';
    ALTER TABLE apps ADD COLUMN sealed BLOB NOT NULL DEFAULT x'';
    -- What stood here before secrets were sealed.  `masked_env` and `sealed_env` are given by who opens the file.
    UPDATE apps SET sealed = sealed_env(expose, runtime_env_json), runtime_env_json = masked_env(runtime_env_json);
    """,
    """
    ALTER TABLE apps ADD COLUMN bounds BLOB NOT NULL DEFAULT x'';
    """,
    """
    ALTER TABLE jobs ADD COLUMN retries_json TEXT NOT NULL DEFAULT '';
    ALTER TABLE jobs ADD COLUMN failures INTEGER NOT NULL DEFAULT 0;
    UPDATE jobs SET failures = max(attempt - 1, 0) WHERE attempts_max > 1;
    ALTER TABLE jobs ADD COLUMN deadline_at REAL NOT NULL DEFAULT 0;
    ALTER TABLE jobs ADD COLUMN budget_json TEXT NOT NULL DEFAULT '';
    CREATE INDEX jobs_late ON jobs (deadline_at)
      WHERE deadline_at > 0 AND state NOT IN ('succeeded', 'failed', 'cancelled');
    ALTER TABLE events ADD COLUMN sealed BLOB NOT NULL DEFAULT x'';
    """,
    f"""
    CREATE TABLE schedules (
      schedule_id TEXT PRIMARY KEY, owner TEXT NOT NULL, display_name TEXT NOT NULL, target TEXT NOT NULL,
      inputs_json TEXT NOT NULL, sealed BLOB NOT NULL, cron TEXT NOT NULL, run_at REAL NOT NULL,
      time_zone TEXT NOT NULL, missed TEXT NOT NULL, missed_runs_max INTEGER NOT NULL, overlap TEXT NOT NULL,
      jitter_s INTEGER NOT NULL, starts_at REAL NOT NULL, ends_at REAL NOT NULL, labels_json TEXT NOT NULL,
      key_json TEXT NOT NULL, state TEXT NOT NULL, message TEXT NOT NULL, created_at REAL NOT NULL,
      updated_at REAL NOT NULL, next_tick REAL NOT NULL, next_at REAL NOT NULL, firing_count INTEGER NOT NULL
    ) WITHOUT ROWID;
    CREATE INDEX schedules_by_owner ON schedules (owner, schedule_id);
    CREATE INDEX schedules_due ON schedules (next_at) WHERE next_at > 0;
    CREATE TABLE firings (
      schedule_id TEXT NOT NULL, number INTEGER NOT NULL, state TEXT NOT NULL, tick REAL NOT NULL,
      manual INTEGER NOT NULL, job_id TEXT NOT NULL, message TEXT NOT NULL, at REAL NOT NULL,
      PRIMARY KEY (schedule_id, number)
    ) WITHOUT ROWID;
    CREATE INDEX firings_open ON firings (schedule_id, number) WHERE state IN ('launching', 'queued');
    CREATE TRIGGER schedules_take AFTER INSERT ON schedules
      BEGIN {_stored("NEW.owner", _of_schedule("NEW"))}; END;
    CREATE TRIGGER schedules_give AFTER DELETE ON schedules
      BEGIN {_stored("OLD.owner", "-(" + _of_schedule("OLD") + ")")}; END;
    CREATE TRIGGER schedules_change AFTER UPDATE OF inputs_json, sealed ON schedules
      BEGIN {_stored("NEW.owner", _of_schedule("NEW") + " - (" + _of_schedule("OLD") + ")")}; END;
    """,
    f"""
    CREATE TABLE webhooks (
      webhook_id TEXT PRIMARY KEY, owner TEXT NOT NULL, display_name TEXT NOT NULL, url TEXT NOT NULL,
      kinds TEXT NOT NULL, targets TEXT NOT NULL, enabled INTEGER NOT NULL, message TEXT NOT NULL, sealed BLOB NOT NULL,
      sealed_before BLOB NOT NULL, before_until REAL NOT NULL, key_json TEXT NOT NULL, created_at REAL NOT NULL,
      updated_at REAL NOT NULL, failing_since REAL NOT NULL
    ) WITHOUT ROWID;
    CREATE INDEX webhooks_by_owner ON webhooks (owner, webhook_id);
    CREATE TABLE deliveries (
      delivery_id TEXT PRIMARY KEY, webhook_id TEXT NOT NULL, owner TEXT NOT NULL, kind TEXT NOT NULL,
      job_id TEXT NOT NULL, state TEXT NOT NULL, payload TEXT NOT NULL, attempt_count INTEGER NOT NULL,
      status_code INTEGER NOT NULL, latency_ms INTEGER NOT NULL, answer TEXT NOT NULL, error TEXT NOT NULL,
      created_at REAL NOT NULL, attempted_at REAL NOT NULL, next_at REAL NOT NULL, tried_until REAL NOT NULL
    );
    CREATE INDEX deliveries_by_webhook ON deliveries (webhook_id, delivery_id);
    CREATE INDEX deliveries_due ON deliveries (webhook_id, next_at) WHERE state = 'pending';
    CREATE INDEX deliveries_next ON deliveries (next_at) WHERE state = 'pending';
    CREATE INDEX deliveries_ended ON deliveries (created_at) WHERE state <> 'pending';
    CREATE TRIGGER deliveries_take AFTER INSERT ON deliveries
      BEGIN {_stored("NEW.owner", "300 + " + _octets("NEW.payload"))}; END;
    CREATE TRIGGER deliveries_give AFTER DELETE ON deliveries
      BEGIN {_stored("OLD.owner", "-300 - " + _octets("OLD.payload"))}; END;
    """,
    """
    ALTER TABLE jobs ADD COLUMN traceparent TEXT NOT NULL DEFAULT '';
    """,
    """
    CREATE TABLE retention (
      policy_id TEXT PRIMARY KEY, owner TEXT NOT NULL, target TEXT NOT NULL, age_s INTEGER NOT NULL,
      job_count INTEGER NOT NULL, stored_bytes INTEGER NOT NULL, created_at REAL NOT NULL,
      forgotten_count INTEGER NOT NULL
    ) WITHOUT ROWID;
    CREATE INDEX retention_by_owner ON retention (owner, policy_id);
    """,
    """
    CREATE INDEX jobs_sold ON jobs (job_id) WHERE payment_step IN ('initialized', 'locked');
    """,
    f"""
    -- What is left of what was deleted, and is swept in slices; messages count for whoever had their conversation.
    CREATE TABLE remains (
      kind TEXT NOT NULL, name TEXT NOT NULL, owner TEXT NOT NULL, PRIMARY KEY (kind, name)
    ) WITHOUT ROWID;
    DROP TRIGGER messages_give;
    CREATE TRIGGER messages_give AFTER DELETE ON messages
      BEGIN {_stored(_of_remains("OLD"), f"-100 - {_octets('OLD.content')}")}; END;
    """,
    ROWS_BY_NUMBER,
    """
    ALTER TABLE deliveries ADD COLUMN claim TEXT NOT NULL DEFAULT '';
    """,
]
