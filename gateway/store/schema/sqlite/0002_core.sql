-- Jobs come in generations: what was there becomes the oldest one.

ALTER TABLE jobs RENAME TO jobs_0;
ALTER TABLE jobs_0 ADD COLUMN shard BIGINT NOT NULL DEFAULT 0;
ALTER TABLE job_state_transitions RENAME TO job_state_transitions_0;

-- What a client may send again without being taken twice: the header Idempotency-Key of REST
-- ('rest:' and the key), a record of the topic trunkline.submit ('submit:' and its id, 'refused:'
-- and a hash of a record that has none), an event of /v1/track ('track:' and its messageId).
CREATE TABLE idempotency_keys (
    account_sid TEXT NOT NULL,
    key TEXT NOT NULL,
    fingerprint TEXT NOT NULL,        -- of the request, so that another one is told apart
    sid TEXT NOT NULL,                -- of what it became: a message, or a fact
    at DOUBLE PRECISION NOT NULL,
    PRIMARY KEY (account_sid, key)
) WITHOUT ROWID;
CREATE INDEX idempotency_keys_by_age ON idempotency_keys (at);

-- Messages that were redacted or deleted lately, for the processes that may still know them.
CREATE TABLE wiped_messages (
    sid TEXT PRIMARY KEY,
    at DOUBLE PRECISION NOT NULL
) WITHOUT ROWID;

-- How each carrier is, as its owner sees it, for the processes that do not own it.
CREATE TABLE carrier_states (
    name TEXT PRIMARY KEY,
    holder TEXT NOT NULL,
    state TEXT NOT NULL,              -- JSON
    at DOUBLE PRECISION NOT NULL
);

-- What an operator wants of a carrier; its owner makes it so.
CREATE TABLE carrier_orders (
    name TEXT PRIMARY KEY,
    intake TEXT NOT NULL,             -- 'open' | 'paused' | 'draining'
    at DOUBLE PRECISION NOT NULL
);

-- What carriers delivered lately, by a hash of the whole PDU: when our answer may not have
-- reached one of them, what it delivers again is known.
CREATE TABLE inbound_seen (
    id TEXT PRIMARY KEY,
    carrier TEXT NOT NULL,
    digest TEXT NOT NULL,
    at DOUBLE PRECISION NOT NULL
) WITHOUT ROWID;
CREATE INDEX inbound_seen_by_age ON inbound_seen (at);

-- What gateway/core/tracking counts of the facts; it can be thrown away and made again.
CREATE TABLE tracking_counters (
    account_sid TEXT NOT NULL,
    day TEXT NOT NULL,                -- UTC: YYYY-MM-DD
    metric TEXT NOT NULL,
    value BIGINT NOT NULL,
    PRIMARY KEY (account_sid, day, metric)
) WITHOUT ROWID;
