CREATE TABLE jobs_{n} (
    id TEXT PRIMARY KEY,
    kind TEXT NOT NULL,
    account_sid TEXT NOT NULL,
    endpoint TEXT NOT NULL,
    shard BIGINT NOT NULL,            -- whose queue it stands in: core/records.py
    sequence TEXT NOT NULL,           -- first tries of one sequence start in order
    sid TEXT NOT NULL,
    payload TEXT NOT NULL,            -- JSON
    created_at DOUBLE PRECISION NOT NULL,
    expire_at DOUBLE PRECISION NOT NULL
) WITHOUT ROWID;
CREATE INDEX jobs_{n}_by_sid ON jobs_{n} (sid);

CREATE TABLE job_state_transitions_{n} (
    job_id TEXT NOT NULL,
    attempt BIGINT NOT NULL,
    to_state TEXT NOT NULL,           -- 'awaiting_retry' | 'succeeded' | 'discarded' | 'expired' | 'archived'
    at DOUBLE PRECISION NOT NULL,
    retry_at DOUBLE PRECISION NOT NULL,
    note TEXT NOT NULL,
    PRIMARY KEY (job_id, attempt)
) WITHOUT ROWID;
