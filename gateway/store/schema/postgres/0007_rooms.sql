-- expand
-- Conferences and who is in them; queues of callers and who waits in them.

CREATE TABLE conferences (
    account_sid TEXT COLLATE "C" NOT NULL,
    sid TEXT COLLATE "C" NOT NULL,
    friendly_name TEXT COLLATE "C" NOT NULL,
    status TEXT COLLATE "C" NOT NULL,             -- 'init' | 'in-progress' | 'completed'
    reason_ended TEXT COLLATE "C" NOT NULL,       -- '' while it lives, as the next
    call_sid_ending TEXT COLLATE "C" NOT NULL,
    owner TEXT COLLATE "C" NOT NULL,              -- the member whose process has it
    date_created DOUBLE PRECISION NOT NULL,
    date_updated DOUBLE PRECISION NOT NULL,
    version BIGINT NOT NULL,
    PRIMARY KEY (account_sid, sid)
);
CREATE INDEX conferences_open ON conferences (owner, sid)
    WHERE status IN ('init', 'in-progress');
CREATE INDEX conferences_named ON conferences (account_sid, friendly_name)
    WHERE status IN ('init', 'in-progress');

CREATE TABLE participants (
    account_sid TEXT COLLATE "C" NOT NULL,
    conference_sid TEXT COLLATE "C" NOT NULL,
    call_sid TEXT COLLATE "C" NOT NULL,
    label TEXT COLLATE "C" NOT NULL,
    muted BIGINT NOT NULL,              -- 0 or 1, as those below
    hold BIGINT NOT NULL,
    coached TEXT COLLATE "C" NOT NULL,            -- the call that alone hears this one, '' for all
    start_on_enter BIGINT NOT NULL,
    end_on_exit BIGINT NOT NULL,
    date_created DOUBLE PRECISION NOT NULL,
    date_updated DOUBLE PRECISION NOT NULL,
    PRIMARY KEY (account_sid, conference_sid, call_sid)
);

CREATE TABLE queues (
    account_sid TEXT COLLATE "C" NOT NULL,
    sid TEXT COLLATE "C" NOT NULL,
    friendly_name TEXT COLLATE "C" NOT NULL,
    max_size BIGINT NOT NULL,
    date_created DOUBLE PRECISION NOT NULL,
    date_updated DOUBLE PRECISION NOT NULL,
    version BIGINT NOT NULL,
    PRIMARY KEY (account_sid, sid)
);
CREATE UNIQUE INDEX queues_named ON queues (account_sid, friendly_name);

CREATE TABLE queue_members (
    account_sid TEXT COLLATE "C" NOT NULL,
    queue_sid TEXT COLLATE "C" NOT NULL,
    call_sid TEXT COLLATE "C" NOT NULL,
    owner TEXT COLLATE "C" NOT NULL,              -- the member whose process has the call
    date_enqueued DOUBLE PRECISION NOT NULL,
    PRIMARY KEY (account_sid, queue_sid, call_sid)
);
