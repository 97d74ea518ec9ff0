"""The tables of the runner in PostgreSQL: numbered scripts; those that have shipped are not edited."""

from meshkit.postgres import requests
from services.runner.stores.rows import ENDED, OPEN

CHARS_MAX = 16_000
"""As `texts.CHARS_MAX`, of which the index of a shipped script must not depend."""


def _searched(column: str) -> str:
    # What stands behind a NUL (`meshkit.postgres.texts`) is not searched, as in every other store.
    return f"split_part(substr({column}, 1, {CHARS_MAX}), U&'\\FDD00', 1)"


TEXT = (
    "lower((job_id || ' ' || flow || ' ' || state || ' ' || "
    + " || ' ' || ".join(_searched(name) for name in ("inputs_json", "result_json", "error", "meta_json"))
    + ') COLLATE "C")'
)
"""`texts.text_of` as an expression over a row of `jobs`, word by word as the index `jobs_by_text` has it."""


def _counted(table: str, when: str, row: str, values: str, condition: str = "") -> str:
    """Return a trigger that notes what a row changes of what is counted of its owner."""
    name = f"{table}_{when.split()[0].lower()}_counts"
    return f"""
    CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN INSERT INTO owner_counts (owner, open, bytes) {values}; RETURN NULL; END $$;
    CREATE TRIGGER {name} AFTER {when} ON {table} FOR EACH ROW {condition} EXECUTE FUNCTION {name}();
    """


def _open(row: str) -> str:
    return f"CASE WHEN {row}.{ENDED} THEN 0 ELSE 1 END"


def _of_schedule(row: str) -> str:
    return f"1000 + octet_length({row}.inputs_json) + octet_length({row}.sealed)"


_MORE = f"{_open('NEW')} - {_open('OLD')}"
_OF_CONVERSATION = "SELECT owner, 0, {bytes} FROM conversations WHERE conversation_id = {row}.conversation_id"

MIGRATIONS = [
    f"""
    -- Ids are compared byte by byte, as in every other store.
    CREATE TABLE jobs (
      job_id TEXT COLLATE "C" PRIMARY KEY, flow TEXT NOT NULL, target TEXT NOT NULL, owner TEXT NOT NULL,
      state TEXT NOT NULL, reason TEXT NOT NULL, error TEXT NOT NULL, result_json TEXT NOT NULL,
      inputs_json TEXT NOT NULL, inputs_blob BYTEA NOT NULL, sealed BYTEA NOT NULL, meta_json TEXT NOT NULL,
      extra_json TEXT NOT NULL, entry_point TEXT NOT NULL, base_url TEXT NOT NULL, isolation TEXT NOT NULL,
      labels_json TEXT NOT NULL, conversation TEXT NOT NULL, created_at DOUBLE PRECISION NOT NULL,
      started_at DOUBLE PRECISION NOT NULL, finished_at DOUBLE PRECISION NOT NULL,
      updated_at DOUBLE PRECISION NOT NULL, last_seq BIGINT NOT NULL, host_id TEXT NOT NULL, epoch BIGINT NOT NULL,
      attempt BIGINT NOT NULL, attempts_max BIGINT NOT NULL, concurrency_limit BIGINT NOT NULL,
      source_seq BIGINT NOT NULL, pending_locks TEXT NOT NULL, payment_json TEXT NOT NULL,
      payment_step TEXT NOT NULL, payment_todo TEXT NOT NULL, due_at DOUBLE PRECISION NOT NULL,
      input_tokens BIGINT NOT NULL, output_tokens BIGINT NOT NULL, cost_micros BIGINT NOT NULL,
      stored_bytes BIGINT NOT NULL, progress DOUBLE PRECISION NOT NULL, progress_text TEXT NOT NULL,
      failures BIGINT NOT NULL, retries_json TEXT NOT NULL, deadline_at DOUBLE PRECISION NOT NULL,
      budget_json TEXT NOT NULL, traceparent TEXT NOT NULL,
      expose TEXT GENERATED ALWAYS AS (split_part(flow, '/', 2)) STORED
    ) WITH (fillfactor = 80);
    CREATE INDEX jobs_by_owner ON jobs (owner, job_id);
    CREATE INDEX jobs_open ON jobs (job_id) WHERE {OPEN};
    CREATE INDEX jobs_queued ON jobs (expose, isolation, job_id) WHERE state = 'queued';
    CREATE INDEX jobs_held ON jobs (host_id) WHERE host_id <> '' AND {OPEN};
    CREATE INDEX jobs_limited ON jobs (target) WHERE concurrency_limit > 0 AND {OPEN};
    CREATE INDEX jobs_todo ON jobs (job_id) WHERE payment_todo <> '';
    CREATE INDEX jobs_unasked ON jobs (job_id) WHERE state = 'awaiting_payment' AND payment_step = '';
    CREATE INDEX jobs_late ON jobs (deadline_at, job_id) WHERE deadline_at > 0 AND {OPEN};
    CREATE INDEX jobs_retrying ON jobs (job_id) WHERE state = 'retrying';
    CREATE INDEX jobs_by_target ON jobs (target, owner, job_id);
    CREATE INDEX jobs_by_state ON jobs (state, owner, job_id);
    CREATE INDEX jobs_by_conversation ON jobs (conversation, target) WHERE conversation <> '';
    -- Trigrams make a search fast; without them it looks at every job.  Only of jobs that have ended: their text is
    -- final.  The extension may be there already, in whatever schema.
    DO $$ BEGIN
      CREATE EXTENSION IF NOT EXISTS pg_trgm;
      EXECUTE (SELECT format($index$CREATE INDEX jobs_by_text ON jobs USING gin (({TEXT}) %I.gin_trgm_ops)
        WHERE {ENDED}$index$, nspname) FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace
        WHERE extname = 'pg_trgm');
    EXCEPTION WHEN insufficient_privilege OR undefined_file OR feature_not_supported THEN
      RAISE NOTICE 'no pg_trgm: searches look at every job';
    END $$;
    CREATE TABLE events (
      job_id TEXT COLLATE "C" NOT NULL, seq BIGINT NOT NULL, kind TEXT NOT NULL, time DOUBLE PRECISION NOT NULL,
      payload TEXT NOT NULL, detail TEXT NOT NULL, sealed BYTEA NOT NULL, PRIMARY KEY (job_id, seq)
    );
    CREATE TABLE briefs (job_id TEXT COLLATE "C" PRIMARY KEY, brief BYTEA NOT NULL);
    {requests.MIGRATION}
    CREATE TABLE deleted_jobs (
      job_id TEXT COLLATE "C" PRIMARY KEY, owner TEXT NOT NULL, deleted_at DOUBLE PRECISION NOT NULL
    );
    CREATE INDEX deleted_jobs_by_owner ON deleted_jobs (owner, deleted_at);
    CREATE INDEX deleted_jobs_by_time ON deleted_jobs (deleted_at);
    CREATE TABLE locks (
      lock_id TEXT COLLATE "C" PRIMARY KEY, job_id TEXT COLLATE "C" NOT NULL, owner TEXT NOT NULL, title TEXT NOT NULL,
      elements_json TEXT NOT NULL, data_json TEXT NOT NULL, created_at DOUBLE PRECISION NOT NULL,
      expires_at DOUBLE PRECISION NOT NULL, state TEXT NOT NULL, answered_at DOUBLE PRECISION NOT NULL,
      answered_by TEXT NOT NULL, result_json TEXT NOT NULL, sealed BYTEA NOT NULL
    );
    CREATE INDEX locks_by_job ON locks (job_id);
    CREATE INDEX locks_by_owner ON locks (owner, created_at, lock_id);
    CREATE INDEX locks_pending ON locks (expires_at, lock_id) WHERE state = 'pending';
    CREATE INDEX locks_open ON locks (owner, expires_at) WHERE state = 'pending';
    CREATE TABLE apps (
      expose TEXT COLLATE "C" PRIMARY KEY, import_path TEXT NOT NULL, runtime_env_json TEXT NOT NULL,
      deployments_json TEXT NOT NULL, fork BOOLEAN NOT NULL, isolation TEXT NOT NULL, bounds BYTEA NOT NULL,
      host_ids TEXT NOT NULL, sealed BYTEA NOT NULL,
      -- Where it stands, as the replica of the runner has it that places its hosts.
      state TEXT NOT NULL DEFAULT '', message TEXT NOT NULL DEFAULT '', detail TEXT NOT NULL DEFAULT '',
      seen_at DOUBLE PRECISION NOT NULL DEFAULT 0, flows BYTEA NOT NULL DEFAULT '', version BIGINT NOT NULL DEFAULT 0
    );
    CREATE SEQUENCE app_versions;
    CREATE FUNCTION apps_change() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN NEW.version := nextval('app_versions'); RETURN NEW; END $$;
    CREATE TRIGGER apps_change BEFORE INSERT OR UPDATE ON apps FOR EACH ROW EXECUTE FUNCTION apps_change();
    -- Replicas of the runner, what hangs on them and what they do.  `beats` count up for as long as somebody lives.
    CREATE TABLE runners (runner_id TEXT PRIMARY KEY, address TEXT NOT NULL, door TEXT NOT NULL, beats BIGINT NOT NULL);
    CREATE TABLE hosts (
      host_id TEXT COLLATE "C" PRIMARY KEY, expose TEXT NOT NULL, runner_id TEXT NOT NULL DEFAULT '',
      stage TEXT NOT NULL DEFAULT 'starting', loaded BYTEA, beats BIGINT NOT NULL DEFAULT 0
    );
    CREATE TABLE duties (name TEXT PRIMARY KEY, runner_id TEXT NOT NULL, beats BIGINT NOT NULL);
    CREATE TABLE conversations (
      conversation_id TEXT COLLATE "C" PRIMARY KEY, owner TEXT NOT NULL, title TEXT NOT NULL, summary TEXT NOT NULL,
      active BOOLEAN NOT NULL, message_count BIGINT NOT NULL, job_count BIGINT NOT NULL,
      created_at DOUBLE PRECISION NOT NULL, updated_at DOUBLE PRECISION NOT NULL,
      last_message_at DOUBLE PRECISION NOT NULL
    );
    CREATE INDEX conversations_by_owner ON conversations (owner, last_message_at, conversation_id);
    CREATE INDEX conversations_by_time ON conversations (last_message_at, conversation_id);
    CREATE TABLE messages (
      conversation_id TEXT COLLATE "C" NOT NULL, number BIGINT NOT NULL, role TEXT NOT NULL, content TEXT NOT NULL,
      job_id TEXT NOT NULL, created_at DOUBLE PRECISION NOT NULL, PRIMARY KEY (conversation_id, number)
    );
    CREATE TABLE memories (
      number BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, owner TEXT NOT NULL, scope TEXT NOT NULL,
      layer TEXT NOT NULL, content TEXT NOT NULL, type TEXT NOT NULL, category TEXT NOT NULL,
      importance DOUBLE PRECISION NOT NULL, job_id TEXT NOT NULL, created_at DOUBLE PRECISION NOT NULL,
      words TSVECTOR NOT NULL
    );
    CREATE INDEX memories_by_scope ON memories (owner, scope, layer, number);
    CREATE INDEX memories_by_words ON memories USING gin (words);
    CREATE TABLE memory_terms (
      number BIGINT NOT NULL REFERENCES memories ON DELETE CASCADE, term TEXT COLLATE "C" NOT NULL,
      PRIMARY KEY (number, term)
    );
    CREATE INDEX memory_terms_by_term ON memory_terms (term, number);
    CREATE TABLE schedules (
      schedule_id TEXT COLLATE "C" PRIMARY KEY, owner TEXT NOT NULL, display_name TEXT NOT NULL, target TEXT NOT NULL,
      inputs_json TEXT NOT NULL, sealed BYTEA NOT NULL, cron TEXT NOT NULL, run_at DOUBLE PRECISION NOT NULL,
      time_zone TEXT NOT NULL, missed TEXT NOT NULL, missed_runs_max BIGINT NOT NULL, overlap TEXT NOT NULL,
      jitter_s BIGINT NOT NULL, starts_at DOUBLE PRECISION NOT NULL, ends_at DOUBLE PRECISION NOT NULL,
      labels_json TEXT NOT NULL, key_json TEXT NOT NULL, state TEXT NOT NULL, message TEXT NOT NULL,
      created_at DOUBLE PRECISION NOT NULL, updated_at DOUBLE PRECISION NOT NULL,
      next_tick DOUBLE PRECISION NOT NULL, next_at DOUBLE PRECISION NOT NULL, firing_count BIGINT NOT NULL
    );
    CREATE INDEX schedules_by_owner ON schedules (owner, schedule_id);
    CREATE INDEX schedules_due ON schedules (next_at) WHERE next_at > 0;
    CREATE TABLE firings (
      schedule_id TEXT COLLATE "C" NOT NULL, number BIGINT NOT NULL, state TEXT NOT NULL,
      tick DOUBLE PRECISION NOT NULL, manual BOOLEAN NOT NULL, job_id TEXT NOT NULL, message TEXT NOT NULL,
      at DOUBLE PRECISION NOT NULL,
      PRIMARY KEY (schedule_id, number)
    );
    CREATE INDEX firings_open ON firings (schedule_id, number) WHERE state IN ('launching', 'queued');
    CREATE TABLE webhooks (
      webhook_id TEXT COLLATE "C" PRIMARY KEY, owner TEXT NOT NULL, display_name TEXT NOT NULL, url TEXT NOT NULL,
      kinds TEXT NOT NULL, targets TEXT NOT NULL, enabled BOOLEAN NOT NULL, message TEXT NOT NULL,
      sealed BYTEA NOT NULL, sealed_before BYTEA NOT NULL, before_until DOUBLE PRECISION NOT NULL,
      key_json TEXT NOT NULL, created_at DOUBLE PRECISION NOT NULL, updated_at DOUBLE PRECISION NOT NULL,
      failing_since DOUBLE PRECISION NOT NULL
    );
    CREATE INDEX webhooks_by_owner ON webhooks (owner, webhook_id);
    CREATE TABLE deliveries (
      delivery_id TEXT COLLATE "C" PRIMARY KEY, webhook_id TEXT COLLATE "C" NOT NULL, owner TEXT NOT NULL,
      kind TEXT NOT NULL, job_id TEXT NOT NULL, state TEXT NOT NULL, payload TEXT NOT NULL,
      attempt_count BIGINT NOT NULL, status_code BIGINT NOT NULL, latency_ms BIGINT NOT NULL, answer TEXT NOT NULL,
      error TEXT NOT NULL, created_at DOUBLE PRECISION NOT NULL, attempted_at DOUBLE PRECISION NOT NULL,
      next_at DOUBLE PRECISION NOT NULL, tried_until DOUBLE PRECISION NOT NULL
    );
    CREATE INDEX deliveries_by_webhook ON deliveries (webhook_id, delivery_id);
    CREATE INDEX deliveries_due ON deliveries (webhook_id, next_at) WHERE state = 'pending';
    CREATE INDEX deliveries_next ON deliveries (next_at) WHERE state = 'pending';
    CREATE INDEX deliveries_ended ON deliveries (created_at) WHERE state <> 'pending';
    -- What is counted of owners is the sum of these: a row for each change, so that no two writes wait for each other.
    -- `postgres_counts` makes few of many.
    CREATE TABLE owner_counts (owner TEXT NOT NULL, open BIGINT NOT NULL, bytes BIGINT NOT NULL);
    CREATE INDEX owner_counts_by_owner ON owner_counts (owner);
    """
    + _counted("jobs", "INSERT", "NEW", f"VALUES (NEW.owner, {_open('NEW')}, NEW.stored_bytes)")
    + _counted(
        "jobs",
        "UPDATE OF state, stored_bytes",
        "NEW",
        f"VALUES (NEW.owner, {_MORE}, NEW.stored_bytes - OLD.stored_bytes)",
        f"WHEN (NEW.stored_bytes <> OLD.stored_bytes OR {_MORE} <> 0)",
    )
    + _counted("jobs", "DELETE", "OLD", f"VALUES (OLD.owner, -({_open('OLD')}), -OLD.stored_bytes)")
    + _counted("conversations", "INSERT", "NEW", "VALUES (NEW.owner, 0, 1000)")
    + _counted("conversations", "DELETE", "OLD", "VALUES (OLD.owner, 0, -1000)")
    + _counted("messages", "INSERT", "NEW", _OF_CONVERSATION.format(row="NEW", bytes="100 + octet_length(NEW.content)"))
    + _counted(
        "messages", "DELETE", "OLD", _OF_CONVERSATION.format(row="OLD", bytes="-100 - octet_length(OLD.content)")
    )
    + _counted("deliveries", "INSERT", "NEW", "VALUES (NEW.owner, 0, 300 + octet_length(NEW.payload))")
    + _counted("deliveries", "DELETE", "OLD", "VALUES (OLD.owner, 0, -300 - octet_length(OLD.payload))")
    + _counted("schedules", "INSERT", "NEW", f"VALUES (NEW.owner, 0, {_of_schedule('NEW')})")
    + _counted("schedules", "DELETE", "OLD", f"VALUES (OLD.owner, 0, -({_of_schedule('OLD')}))")
    + _counted(
        "schedules",
        "UPDATE OF inputs_json, sealed",
        "NEW",
        f"VALUES (NEW.owner, 0, {_of_schedule('NEW')} - ({_of_schedule('OLD')}))",
    )
    + _counted("memories", "INSERT", "NEW", "VALUES (NEW.owner, 0, 100 + octet_length(NEW.content))")
    + _counted("memories", "DELETE", "OLD", "VALUES (OLD.owner, 0, -100 - octet_length(OLD.content))"),
    """
    CREATE TABLE retention (
      policy_id TEXT COLLATE "C" PRIMARY KEY, owner TEXT NOT NULL, target TEXT NOT NULL, age_s BIGINT NOT NULL,
      job_count BIGINT NOT NULL, stored_bytes BIGINT NOT NULL, created_at DOUBLE PRECISION NOT NULL,
      forgotten_count BIGINT NOT NULL
    );
    CREATE INDEX retention_by_owner ON retention (owner, policy_id);
    """,
    """
    -- Told while their webhook was being deleted, before `tell` locked it: nobody would ever forget them.
    DELETE FROM deliveries WHERE webhook_id NOT IN (SELECT webhook_id FROM webhooks);
    """,
    """
    CREATE INDEX jobs_sold ON jobs (job_id) WHERE payment_step IN ('initialized', 'locked');
    """,
    """
    -- What is left of what was deleted, and is swept in slices; messages count for whoever had their conversation.
    CREATE TABLE remains (
      kind TEXT NOT NULL, name TEXT COLLATE "C" NOT NULL, owner TEXT NOT NULL, PRIMARY KEY (kind, name)
    );
    CREATE OR REPLACE FUNCTION messages_delete_counts() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN
        INSERT INTO owner_counts (owner, open, bytes)
          SELECT owner, 0, -100 - octet_length(OLD.content) FROM (
            SELECT owner FROM conversations WHERE conversation_id = OLD.conversation_id
            UNION SELECT owner FROM remains WHERE kind = 'conversations' AND name = OLD.conversation_id
          ) AS theirs LIMIT 1;
        RETURN NULL;
      END $$;
    """,
    """
    -- With the state of each: who has ended is told from who waits without its row.
    CREATE INDEX locks_waiting ON locks (job_id, created_at, lock_id) WHERE state = 'pending';
    CREATE INDEX locks_asking ON locks (owner, created_at, lock_id) WHERE state = 'pending';
    DROP INDEX locks_by_job;
    CREATE INDEX locks_by_job ON locks (job_id, lock_id, state);
    """,
    """
    ALTER TABLE deliveries ADD COLUMN claim TEXT NOT NULL DEFAULT '';
    """,
]
