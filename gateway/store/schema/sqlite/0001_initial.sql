-- Times are seconds since the epoch, JSON is text, booleans are 0/1. SIDs begin with their
-- creation time, so that every index over them grows at its end.

CREATE TABLE accounts (
    sid TEXT PRIMARY KEY,
    parent_sid TEXT NOT NULL,
    kind TEXT NOT NULL,               -- 'full' | 'test'
    friendly_name TEXT NOT NULL,
    auth_token TEXT NOT NULL,
    status TEXT NOT NULL,             -- 'active' | 'suspended' | 'closed'
    date_created DOUBLE PRECISION NOT NULL,
    date_updated DOUBLE PRECISION NOT NULL,
    version BIGINT NOT NULL
);

CREATE TABLE phone_numbers (
    sid TEXT PRIMARY KEY,
    account_sid TEXT NOT NULL,
    phone_number TEXT NOT NULL UNIQUE,
    friendly_name TEXT NOT NULL,
    settings TEXT NOT NULL,           -- JSON: sms_url sms_method sms_fallback_url … as REST shows them
    date_created DOUBLE PRECISION NOT NULL,
    date_updated DOUBLE PRECISION NOT NULL,
    version BIGINT NOT NULL
);

CREATE TABLE messages (
    account_sid TEXT NOT NULL,
    sid TEXT NOT NULL,
    direction TEXT NOT NULL,
    status TEXT NOT NULL,
    from_address TEXT NOT NULL,
    to_address TEXT NOT NULL,
    body TEXT NOT NULL,
    media TEXT NOT NULL,              -- JSON list of media URLs
    num_segments BIGINT NOT NULL,     -- short messages on the air
    parts BIGINT NOT NULL,            -- submit_sm
    encoding TEXT NOT NULL,           -- alphabet chosen when it was accepted
    status_callback TEXT NOT NULL,    -- a URL, or smpp:<system_id> for a customer's bind
    status_callback_method TEXT NOT NULL,
    origin TEXT NOT NULL,             -- 'rest' | 'twiml' | 'carrier' | 'customer:<system_id>'
    in_reply_to TEXT NOT NULL,        -- SID of the inbound message that it answers
    carrier TEXT NOT NULL,            -- owner of its dispatch, or the carrier it came from
    route TEXT NOT NULL,              -- JSON: candidates with their reasons
    attempt BIGINT NOT NULL,
    reference BIGINT NOT NULL,        -- user_message_reference of part 1, -1 before the first attempt
    concat_reference BIGINT NOT NULL, -- of the UDH or SAR TLVs, -1 for none
    error_code BIGINT NOT NULL,       -- 0 for none
    valid_until DOUBLE PRECISION NOT NULL,
    date_created DOUBLE PRECISION NOT NULL,
    date_updated DOUBLE PRECISION NOT NULL,
    date_sent DOUBLE PRECISION NOT NULL, -- 0 before
    version BIGINT NOT NULL,
    PRIMARY KEY (account_sid, sid)
) WITHOUT ROWID;
CREATE INDEX messages_open ON messages (carrier, date_created)
    WHERE status IN ('queued', 'sending');
CREATE INDEX messages_sent ON messages (date_sent) WHERE status = 'sent';
CREATE INDEX messages_replies ON messages (in_reply_to) WHERE in_reply_to <> '';

-- One row per part and attempt that the carrier answered or may have answered.
CREATE TABLE segments (
    account_sid TEXT NOT NULL,
    sid TEXT NOT NULL,
    part BIGINT NOT NULL,             -- from 1
    attempt BIGINT NOT NULL,
    carrier TEXT NOT NULL,
    carrier_id TEXT NOT NULL,         -- message_id as the carrier wrote it, '' while unknown
    id_key TEXT NOT NULL,             -- its canonical form, what receipts are matched by
    state TEXT NOT NULL,              -- 'held' | 'sent' | 'refused' | 'delivered' | 'undelivered'
    error_code BIGINT NOT NULL,
    at DOUBLE PRECISION NOT NULL,
    PRIMARY KEY (sid, part, attempt)
) WITHOUT ROWID;
CREATE INDEX segments_by_carrier_id ON segments (carrier, id_key);

CREATE TABLE parked_receipts (
    id TEXT PRIMARY KEY,
    carrier TEXT NOT NULL,
    id_key TEXT NOT NULL,
    receipt TEXT NOT NULL,            -- JSON
    at DOUBLE PRECISION NOT NULL
);
CREATE INDEX parked_receipts_by_key ON parked_receipts (carrier, id_key);

CREATE TABLE inbound_parts (
    group_key TEXT NOT NULL,          -- carrier, from, to, reference, total
    part BIGINT NOT NULL,
    payload BLOB NOT NULL,
    at DOUBLE PRECISION NOT NULL,
    PRIMARY KEY (group_key, part)
) WITHOUT ROWID;

CREATE TABLE facts (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    account_sid TEXT NOT NULL,
    sid TEXT NOT NULL,
    version BIGINT NOT NULL,
    type TEXT NOT NULL,
    at DOUBLE PRECISION NOT NULL,
    data TEXT NOT NULL
);
CREATE INDEX facts_by_sid ON facts (sid);

CREATE TABLE jobs (
    id TEXT PRIMARY KEY,
    kind TEXT NOT NULL,
    account_sid TEXT NOT NULL,
    endpoint TEXT NOT NULL,
    sequence TEXT NOT NULL,           -- first tries of one sequence start in order
    sid TEXT NOT NULL,
    payload TEXT NOT NULL,            -- JSON
    created_at DOUBLE PRECISION NOT NULL,
    expire_at DOUBLE PRECISION NOT NULL
) WITHOUT ROWID;
CREATE INDEX jobs_by_sid ON jobs (sid);

CREATE TABLE job_state_transitions (
    job_id TEXT NOT NULL,
    attempt BIGINT NOT NULL,
    to_state TEXT NOT NULL,           -- 'awaiting_retry' | 'succeeded' | 'discarded' | 'expired'
    at DOUBLE PRECISION NOT NULL,
    retry_at DOUBLE PRECISION NOT NULL,
    note TEXT NOT NULL,
    PRIMARY KEY (job_id, attempt)
) WITHOUT ROWID;

CREATE TABLE trace (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    sid TEXT NOT NULL,
    frames BLOB NOT NULL              -- PDUs, as gateway/messages/trace.py packs them
);
CREATE INDEX trace_by_sid ON trace (sid);

CREATE TABLE notifications (
    account_sid TEXT NOT NULL,
    sid TEXT NOT NULL,
    resource_sid TEXT NOT NULL,       -- the message or call that it is about
    error_code BIGINT NOT NULL,
    level TEXT NOT NULL,              -- 'error' | 'warning'
    details TEXT NOT NULL,            -- JSON: message url method …
    date_created DOUBLE PRECISION NOT NULL,
    PRIMARY KEY (account_sid, sid)
) WITHOUT ROWID;
CREATE INDEX notifications_by_resource ON notifications (resource_sid);

CREATE TABLE leases (
    name TEXT PRIMARY KEY,
    holder TEXT NOT NULL,
    epoch BIGINT NOT NULL,
    expires_at DOUBLE PRECISION NOT NULL
);

CREATE TABLE meta (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
);
