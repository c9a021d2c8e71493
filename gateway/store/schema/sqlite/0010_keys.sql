-- Keys of accounts: SID and secret call REST, and the secret signs Access Tokens.

CREATE TABLE keys (
    account_sid TEXT NOT NULL,
    sid TEXT NOT NULL,
    friendly_name TEXT NOT NULL,
    secret TEXT NOT NULL,
    date_created DOUBLE PRECISION NOT NULL,
    date_updated DOUBLE PRECISION NOT NULL,
    version BIGINT NOT NULL,
    PRIMARY KEY (account_sid, sid)
) WITHOUT ROWID;
CREATE UNIQUE INDEX keys_by_sid ON keys (sid);
