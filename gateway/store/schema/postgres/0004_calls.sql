-- expand
-- Calls, their legs, and what is asked of them while they are up.

CREATE TABLE calls (
    account_sid TEXT COLLATE "C" NOT NULL,
    sid TEXT COLLATE "C" NOT NULL,
    parent_sid TEXT COLLATE "C" NOT NULL,         -- of the call that dialled it
    direction TEXT COLLATE "C" NOT NULL,
    status TEXT COLLATE "C" NOT NULL,
    from_address TEXT COLLATE "C" NOT NULL,
    to_address TEXT COLLATE "C" NOT NULL,
    caller_name TEXT COLLATE "C" NOT NULL,
    forwarded_from TEXT COLLATE "C" NOT NULL,
    phone_number_sid TEXT COLLATE "C" NOT NULL,
    carrier TEXT COLLATE "C" NOT NULL,
    domain TEXT COLLATE "C" NOT NULL,
    origin TEXT COLLATE "C" NOT NULL,             -- what it runs, or why it was made: gateway/calls/model.py
    owner TEXT COLLATE "C" NOT NULL,              -- the member whose process has it
    status_callback TEXT COLLATE "C" NOT NULL,
    status_callback_method TEXT COLLATE "C" NOT NULL,
    status_callback_events TEXT COLLATE "C" NOT NULL, -- words between blanks
    error_code BIGINT NOT NULL,       -- 0 for none
    sip_code BIGINT NOT NULL,         -- 0 before there is one
    reason TEXT COLLATE "C" NOT NULL,
    date_created DOUBLE PRECISION NOT NULL,
    date_updated DOUBLE PRECISION NOT NULL,
    started DOUBLE PRECISION NOT NULL, -- when it was answered, 0 before
    ended DOUBLE PRECISION NOT NULL,  -- 0 before
    version BIGINT NOT NULL,
    PRIMARY KEY (account_sid, sid)
) PARTITION BY RANGE (sid);
CREATE TABLE calls_default PARTITION OF calls DEFAULT;
CREATE INDEX calls_open ON calls (owner, sid)
    WHERE status IN ('queued', 'initiated', 'ringing', 'in-progress');
CREATE INDEX calls_children ON calls (parent_sid) WHERE parent_sid <> '';

-- One row per INVITE of a call.
CREATE TABLE call_legs (
    account_sid TEXT COLLATE "C" NOT NULL,
    sid TEXT COLLATE "C" NOT NULL,
    attempt BIGINT NOT NULL,          -- from 1
    direction TEXT COLLATE "C" NOT NULL,
    carrier TEXT COLLATE "C" NOT NULL,
    peer TEXT COLLATE "C" NOT NULL,
    transport TEXT COLLATE "C" NOT NULL,
    call_id TEXT COLLATE "C" NOT NULL,
    saved TEXT COLLATE "C" NOT NULL,              -- JSON: what a restart needs to free the far end; '' for none
    began DOUBLE PRECISION NOT NULL,
    ringing DOUBLE PRECISION NOT NULL, -- 0 for never, as the next two
    answered DOUBLE PRECISION NOT NULL,
    ended DOUBLE PRECISION NOT NULL,
    sip_code BIGINT NOT NULL,
    cause TEXT COLLATE "C" NOT NULL,
    released_by TEXT COLLATE "C" NOT NULL,        -- 'peer' | 'gateway' | 'restart' | ''
    codec_received TEXT COLLATE "C" NOT NULL,
    codec_sent TEXT COLLATE "C" NOT NULL,
    received TEXT COLLATE "C" NOT NULL,           -- JSON: packets lost jitter mos; '' before there was any
    sent TEXT COLLATE "C" NOT NULL,               -- the same
    PRIMARY KEY (sid, attempt)
) PARTITION BY RANGE (sid);
CREATE TABLE call_legs_default PARTITION OF call_legs DEFAULT;

-- What REST wants of calls that another process has; that one takes it from here.
CREATE TABLE call_orders (
    sid TEXT COLLATE "C" NOT NULL,
    id TEXT COLLATE "C" NOT NULL,                 -- begins with its time: orders to a call are kept in order
    account_sid TEXT COLLATE "C" NOT NULL,
    wanted TEXT COLLATE "C" NOT NULL,             -- JSON, as gateway/calls/orders.py has it
    at DOUBLE PRECISION NOT NULL,
    PRIMARY KEY (sid, id)
);
