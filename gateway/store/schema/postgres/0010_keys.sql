-- expand
-- Keys of accounts: SID and secret call REST, and the secret signs Access Tokens.

CREATE TABLE keys (
    account_sid TEXT COLLATE "C" NOT NULL,
    sid TEXT COLLATE "C" NOT NULL,
    friendly_name TEXT COLLATE "C" NOT NULL,
    secret TEXT COLLATE "C" NOT NULL,
    date_created DOUBLE PRECISION NOT NULL,
    date_updated DOUBLE PRECISION NOT NULL,
    version BIGINT NOT NULL,
    PRIMARY KEY (account_sid, sid)
);
CREATE UNIQUE INDEX keys_by_sid ON keys (sid);
