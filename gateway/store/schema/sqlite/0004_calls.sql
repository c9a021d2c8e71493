-- Calls, their legs, and what is asked of them while they are up.

CREATE TABLE calls (
    account_sid TEXT NOT NULL,
    sid TEXT NOT NULL,
    parent_sid TEXT NOT NULL,         -- of the call that dialled it
    direction TEXT NOT NULL,
    status TEXT NOT NULL,
    from_address TEXT NOT NULL,
    to_address TEXT NOT NULL,
    caller_name TEXT NOT NULL,
    forwarded_from TEXT NOT NULL,
    phone_number_sid TEXT NOT NULL,
    carrier TEXT NOT NULL,
    domain TEXT NOT NULL,
    origin TEXT NOT NULL,             -- what it runs, or why it was made: gateway/calls/model.py
    owner TEXT NOT NULL,              -- the member whose process has it
    status_callback TEXT NOT NULL,
    status_callback_method TEXT NOT NULL,
    status_callback_events TEXT NOT NULL, -- words between blanks
    error_code BIGINT NOT NULL,       -- 0 for none
    sip_code BIGINT NOT NULL,         -- 0 before there is one
    reason TEXT NOT NULL,
    date_created DOUBLE PRECISION NOT NULL,
    date_updated DOUBLE PRECISION NOT NULL,
    started DOUBLE PRECISION NOT NULL, -- when it was answered, 0 before
    ended DOUBLE PRECISION NOT NULL,  -- 0 before
    version BIGINT NOT NULL,
    PRIMARY KEY (account_sid, sid)
) WITHOUT ROWID;
CREATE INDEX calls_open ON calls (owner, sid)
    WHERE status IN ('queued', 'initiated', 'ringing', 'in-progress');
CREATE INDEX calls_children ON calls (parent_sid) WHERE parent_sid <> '';

-- One row per INVITE of a call.
CREATE TABLE call_legs (
    account_sid TEXT NOT NULL,
    sid TEXT NOT NULL,
    attempt BIGINT NOT NULL,          -- from 1
    direction TEXT NOT NULL,
    carrier TEXT NOT NULL,
    peer TEXT NOT NULL,
    transport TEXT NOT NULL,
    call_id TEXT NOT NULL,
    saved TEXT NOT NULL,              -- JSON: what a restart needs to free the far end; '' for none
    began DOUBLE PRECISION NOT NULL,
    ringing DOUBLE PRECISION NOT NULL, -- 0 for never, as the next two
    answered DOUBLE PRECISION NOT NULL,
    ended DOUBLE PRECISION NOT NULL,
    sip_code BIGINT NOT NULL,
    cause TEXT NOT NULL,
    released_by TEXT NOT NULL,        -- 'peer' | 'gateway' | 'restart' | ''
    codec_received TEXT NOT NULL,
    codec_sent TEXT NOT NULL,
    received TEXT NOT NULL,           -- JSON: packets lost jitter mos; '' before there was any
    sent TEXT NOT NULL,               -- the same
    PRIMARY KEY (sid, attempt)
) WITHOUT ROWID;

-- What REST wants of calls that another process has; that one takes it from here.
CREATE TABLE call_orders (
    sid TEXT NOT NULL,
    id TEXT NOT NULL,                 -- begins with its time: orders to a call are kept in order
    account_sid TEXT NOT NULL,
    wanted TEXT NOT NULL,             -- JSON, as gateway/calls/orders.py has it
    at DOUBLE PRECISION NOT NULL,
    PRIMARY KEY (sid, id)
) WITHOUT ROWID;
