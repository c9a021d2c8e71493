-- A generation is only added to, until it is dropped whole: there is nothing to clean up in it.
CREATE TABLE jobs_{n} (
    id TEXT COLLATE "C" PRIMARY KEY,
    kind TEXT COLLATE "C" NOT NULL,
    account_sid TEXT COLLATE "C" NOT NULL,
    endpoint TEXT COLLATE "C" NOT NULL,
    shard BIGINT NOT NULL,                        -- whose queue it stands in: core/records.py
    sequence TEXT COLLATE "C" NOT NULL,           -- first tries of one sequence start in order
    sid TEXT COLLATE "C" NOT NULL,
    payload TEXT COLLATE "C" NOT NULL,            -- JSON
    created_at DOUBLE PRECISION NOT NULL,
    expire_at DOUBLE PRECISION NOT NULL,
    xact XID8 NOT NULL DEFAULT pg_current_xact_id(),
    writer TEXT COLLATE "C" NOT NULL DEFAULT trunkline_writer()
) WITH (autovacuum_enabled = false);
CREATE INDEX jobs_{n}_by_sid ON jobs_{n} (sid);
CREATE INDEX jobs_{n}_arrived ON jobs_{n} (xact);

CREATE TABLE job_state_transitions_{n} (
    job_id TEXT COLLATE "C" NOT NULL,
    attempt BIGINT NOT NULL,
    to_state TEXT COLLATE "C" NOT NULL,           -- 'awaiting_retry' | 'succeeded' | 'discarded' | 'expired' | 'archived'
    at DOUBLE PRECISION NOT NULL,
    retry_at DOUBLE PRECISION NOT NULL,
    note TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (job_id, attempt)
) WITH (autovacuum_enabled = false);
