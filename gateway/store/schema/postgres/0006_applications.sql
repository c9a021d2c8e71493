-- expand
-- Applications: what runs for calls and texts, under a name of its own.

CREATE TABLE applications (
    account_sid TEXT COLLATE "C" NOT NULL,
    sid TEXT COLLATE "C" NOT NULL,
    friendly_name TEXT COLLATE "C" NOT NULL,
    settings TEXT COLLATE "C" NOT NULL,           -- JSON: voice_url voice_method … as REST shows them
    date_created DOUBLE PRECISION NOT NULL,
    date_updated DOUBLE PRECISION NOT NULL,
    version BIGINT NOT NULL,
    PRIMARY KEY (account_sid, sid)
);
