-- Applications: what runs for calls and texts, under a name of its own.

CREATE TABLE applications (
    account_sid TEXT NOT NULL,
    sid TEXT NOT NULL,
    friendly_name TEXT NOT NULL,
    settings TEXT NOT NULL,           -- JSON: voice_url voice_method … as REST shows them
    date_created DOUBLE PRECISION NOT NULL,
    date_updated DOUBLE PRECISION NOT NULL,
    version BIGINT NOT NULL,
    PRIMARY KEY (account_sid, sid)
) WITHOUT ROWID;
