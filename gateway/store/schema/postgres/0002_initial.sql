-- expand
-- Times are seconds since the epoch, JSON is text, booleans are 0/1. SIDs begin with their
-- creation time, so that every index over them grows at its end. Text compares by its octets.
-- `xact` and `writer` say which transaction of which process inserted a row.

CREATE FUNCTION trunkline_writer() RETURNS TEXT LANGUAGE sql STABLE
    RETURN coalesce(current_setting('trunkline.writer', true), '');

CREATE TABLE accounts (
    sid TEXT COLLATE "C" PRIMARY KEY,
    parent_sid TEXT COLLATE "C" NOT NULL,
    kind TEXT COLLATE "C" NOT NULL,               -- 'full' | 'test'
    friendly_name TEXT COLLATE "C" NOT NULL,
    auth_token TEXT COLLATE "C" NOT NULL,
    status TEXT COLLATE "C" NOT NULL,             -- 'active' | 'suspended' | 'closed'
    date_created DOUBLE PRECISION NOT NULL,
    date_updated DOUBLE PRECISION NOT NULL,
    version BIGINT NOT NULL
);

CREATE TABLE phone_numbers (
    sid TEXT COLLATE "C" PRIMARY KEY,
    account_sid TEXT COLLATE "C" NOT NULL,
    phone_number TEXT COLLATE "C" NOT NULL UNIQUE,
    friendly_name TEXT COLLATE "C" NOT NULL,
    settings TEXT COLLATE "C" NOT NULL,           -- JSON: sms_url sms_method … as REST shows them
    date_created DOUBLE PRECISION NOT NULL,
    date_updated DOUBLE PRECISION NOT NULL,
    version BIGINT NOT NULL
);

-- Partitions by time are made by the program: postgres_partitions.py.
CREATE TABLE messages (
    account_sid TEXT COLLATE "C" NOT NULL,
    sid TEXT COLLATE "C" NOT NULL,
    direction TEXT COLLATE "C" NOT NULL,
    status TEXT COLLATE "C" NOT NULL,
    from_address TEXT COLLATE "C" NOT NULL,
    to_address TEXT COLLATE "C" NOT NULL,
    body TEXT COLLATE "C" NOT NULL,
    media TEXT COLLATE "C" NOT NULL,              -- JSON list of media URLs
    num_segments BIGINT NOT NULL,                 -- short messages on the air
    parts BIGINT NOT NULL,                        -- submit_sm
    encoding TEXT COLLATE "C" NOT NULL,           -- alphabet chosen when it was accepted
    status_callback TEXT COLLATE "C" NOT NULL,    -- a URL, or smpp:<system_id> for a customer's bind
    status_callback_method TEXT COLLATE "C" NOT NULL,
    origin TEXT COLLATE "C" NOT NULL,             -- 'rest' | 'twiml' | 'carrier' | 'customer:<system_id>'
    in_reply_to TEXT COLLATE "C" NOT NULL,        -- SID of the inbound message that it answers
    carrier TEXT COLLATE "C" NOT NULL,            -- owner of its dispatch, or the carrier it came from
    route TEXT COLLATE "C" NOT NULL,              -- JSON: candidates with their reasons
    attempt BIGINT NOT NULL,
    reference BIGINT NOT NULL,        -- user_message_reference of part 1, -1 before the first attempt
    concat_reference BIGINT NOT NULL, -- of the UDH or SAR TLVs, -1 for none
    error_code BIGINT NOT NULL,       -- 0 for none
    valid_until DOUBLE PRECISION NOT NULL,
    date_created DOUBLE PRECISION NOT NULL,
    date_updated DOUBLE PRECISION NOT NULL,
    date_sent DOUBLE PRECISION NOT NULL, -- 0 before
    version BIGINT NOT NULL,
    xact XID8 NOT NULL DEFAULT pg_current_xact_id(),
    writer TEXT COLLATE "C" NOT NULL DEFAULT trunkline_writer(),
    PRIMARY KEY (account_sid, sid)
) PARTITION BY RANGE (sid);
CREATE TABLE messages_default PARTITION OF messages DEFAULT;
CREATE INDEX messages_open ON messages (carrier, date_created)
    WHERE status IN ('queued', 'sending');
CREATE INDEX messages_sent ON messages (date_sent) WHERE status = 'sent';
CREATE INDEX messages_replies ON messages (in_reply_to) WHERE in_reply_to <> '';
CREATE INDEX messages_arrived ON messages (xact) WHERE status IN ('queued', 'sending');

-- One row per part and attempt that the carrier answered or may have answered.
CREATE TABLE segments (
    account_sid TEXT COLLATE "C" NOT NULL,
    sid TEXT COLLATE "C" NOT NULL,
    part BIGINT NOT NULL,                         -- from 1
    attempt BIGINT NOT NULL,
    carrier TEXT COLLATE "C" NOT NULL,
    carrier_id TEXT COLLATE "C" NOT NULL,         -- message_id as the carrier wrote it, '' while unknown
    id_key TEXT COLLATE "C" NOT NULL,             -- its canonical form, what receipts are matched by
    state TEXT COLLATE "C" NOT NULL,              -- 'held' | 'sent' | 'refused' | 'delivered' | 'undelivered'
    error_code BIGINT NOT NULL,
    at DOUBLE PRECISION NOT NULL,
    PRIMARY KEY (sid, part, attempt)
) PARTITION BY RANGE (sid);
CREATE TABLE segments_default PARTITION OF segments DEFAULT;
CREATE INDEX segments_by_carrier_id ON segments (carrier, id_key);

CREATE TABLE parked_receipts (
    id TEXT COLLATE "C" PRIMARY KEY,
    carrier TEXT COLLATE "C" NOT NULL,
    id_key TEXT COLLATE "C" NOT NULL,
    receipt TEXT COLLATE "C" NOT NULL,            -- JSON
    at DOUBLE PRECISION NOT NULL
);
CREATE INDEX parked_receipts_by_key ON parked_receipts (carrier, id_key);

CREATE TABLE inbound_parts (
    group_key TEXT COLLATE "C" NOT NULL,          -- carrier, from, to, reference, total
    part BIGINT NOT NULL,
    payload BYTEA NOT NULL,
    at DOUBLE PRECISION NOT NULL,
    PRIMARY KEY (group_key, part)
);

CREATE SEQUENCE facts_id;
CREATE TABLE facts (
    id BIGINT NOT NULL DEFAULT nextval('facts_id'),
    account_sid TEXT COLLATE "C" NOT NULL,
    sid TEXT COLLATE "C" NOT NULL,
    version BIGINT NOT NULL,
    type TEXT COLLATE "C" NOT NULL,
    at DOUBLE PRECISION NOT NULL,
    data TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (id, at)
) PARTITION BY RANGE (at);
CREATE TABLE facts_default PARTITION OF facts DEFAULT;
CREATE INDEX facts_by_sid ON facts (sid);

CREATE SEQUENCE trace_id;
CREATE TABLE trace (
    id BIGINT NOT NULL DEFAULT nextval('trace_id'),
    sid TEXT COLLATE "C" NOT NULL,
    frames BYTEA NOT NULL,                        -- PDUs, as gateway/messages/trace.py packs them
    PRIMARY KEY (id, sid)
) PARTITION BY RANGE (sid);
CREATE TABLE trace_default PARTITION OF trace DEFAULT;
CREATE INDEX trace_by_sid ON trace (sid);

CREATE TABLE notifications (
    account_sid TEXT COLLATE "C" NOT NULL,
    sid TEXT COLLATE "C" NOT NULL,
    resource_sid TEXT COLLATE "C" NOT NULL,       -- the message or call that it is about
    error_code BIGINT NOT NULL,
    level TEXT COLLATE "C" NOT NULL,              -- 'error' | 'warning'
    details TEXT COLLATE "C" NOT NULL,            -- JSON: message url method …
    date_created DOUBLE PRECISION NOT NULL,
    PRIMARY KEY (account_sid, sid)
);
CREATE INDEX notifications_by_resource ON notifications (resource_sid);

-- What a client may send again without being taken twice: the header Idempotency-Key of REST
-- ('rest:' and the key), a record of the topic trunkline.submit ('submit:' and its id, 'refused:'
-- and a hash of a record that has none), an event of /v1/track ('track:' and its messageId).
CREATE TABLE idempotency_keys (
    account_sid TEXT COLLATE "C" NOT NULL,
    key TEXT COLLATE "C" NOT NULL,
    fingerprint TEXT COLLATE "C" NOT NULL,        -- of the request, so that another one is told apart
    sid TEXT COLLATE "C" NOT NULL,                -- of what it became: a message, or a fact
    at DOUBLE PRECISION NOT NULL,
    PRIMARY KEY (account_sid, key)
);
CREATE INDEX idempotency_keys_by_age ON idempotency_keys (at);

-- Messages that were redacted or deleted lately, for the processes that may still know them.
CREATE TABLE wiped_messages (
    sid TEXT COLLATE "C" PRIMARY KEY,
    at DOUBLE PRECISION NOT NULL
);

-- What carriers delivered lately, by a hash of the whole PDU: when our answer may not have
-- reached one of them, what it delivers again is known.
CREATE TABLE inbound_seen (
    id TEXT COLLATE "C" PRIMARY KEY,
    carrier TEXT COLLATE "C" NOT NULL,
    digest TEXT COLLATE "C" NOT NULL,
    at DOUBLE PRECISION NOT NULL
);
CREATE INDEX inbound_seen_by_age ON inbound_seen (at);

-- What gateway/core/tracking counts of the facts; it can be thrown away and made again.
CREATE TABLE tracking_counters (
    account_sid TEXT COLLATE "C" NOT NULL,
    day TEXT COLLATE "C" NOT NULL,                -- UTC: YYYY-MM-DD
    metric TEXT COLLATE "C" NOT NULL,
    value BIGINT NOT NULL,
    PRIMARY KEY (account_sid, day, metric)
) WITH (fillfactor = 50);

-- How each carrier is, as its owner sees it, for the processes that do not own it.
CREATE TABLE carrier_states (
    name TEXT COLLATE "C" PRIMARY KEY,
    holder TEXT COLLATE "C" NOT NULL,
    state TEXT COLLATE "C" NOT NULL,              -- JSON
    at DOUBLE PRECISION NOT NULL
);

-- What an operator wants of a carrier; its owner makes it so.
CREATE TABLE carrier_orders (
    name TEXT COLLATE "C" PRIMARY KEY,
    intake TEXT COLLATE "C" NOT NULL,             -- 'open' | 'paused' | 'draining'
    at DOUBLE PRECISION NOT NULL
);

-- A name that nobody owns, and a member that was buried, keep their row with no holder: epochs
-- only grow. `expires_at` is the member's; what it owns ends with it.
CREATE TABLE leases (
    name TEXT COLLATE "C" PRIMARY KEY,
    holder TEXT COLLATE "C" NOT NULL,
    epoch BIGINT NOT NULL,
    expires_at DOUBLE PRECISION NOT NULL
) WITH (fillfactor = 50);

CREATE TABLE meta (
    name TEXT COLLATE "C" PRIMARY KEY,
    value TEXT COLLATE "C" NOT NULL
) WITH (fillfactor = 50);

-- The last group that each process committed: whoever lost the connection in the middle of a
-- COMMIT reads here what became of it.
CREATE TABLE commit_tokens (
    writer TEXT COLLATE "C" PRIMARY KEY,
    number BIGINT NOT NULL,
    at DOUBLE PRECISION NOT NULL
) WITH (fillfactor = 50);
