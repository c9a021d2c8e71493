-- Recordings of calls and conferences; their sound is in files beside the store.

CREATE TABLE recordings (
    account_sid TEXT NOT NULL,
    sid TEXT NOT NULL,
    call_sid TEXT NOT NULL,           -- '' for none, as the next
    conference_sid TEXT NOT NULL,
    status TEXT NOT NULL,
    source TEXT NOT NULL,             -- what asked for it, in Twilio's words
    channels BIGINT NOT NULL,
    track TEXT NOT NULL,              -- 'both' | 'inbound' | 'outbound'
    duration DOUBLE PRECISION NOT NULL, -- seconds, 0 before its end
    error_code BIGINT NOT NULL,       -- 0 for none
    owner TEXT NOT NULL,              -- the member whose process makes it
    status_callback TEXT NOT NULL,
    status_callback_method TEXT NOT NULL,
    status_callback_events TEXT NOT NULL, -- words between blanks
    start_time DOUBLE PRECISION NOT NULL,
    date_created DOUBLE PRECISION NOT NULL,
    date_updated DOUBLE PRECISION NOT NULL,
    version BIGINT NOT NULL,
    PRIMARY KEY (account_sid, sid)
) WITHOUT ROWID;
CREATE INDEX recordings_call ON recordings (call_sid) WHERE call_sid <> '';
CREATE INDEX recordings_conference ON recordings (conference_sid) WHERE conference_sid <> '';
CREATE INDEX recordings_open ON recordings (owner, sid)
    WHERE status IN ('in-progress', 'paused', 'stopped', 'processing');
