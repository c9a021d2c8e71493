-- Whom an app wants told of what is said in a call by the Voice SDK.

CREATE TABLE message_subscriptions (
    account_sid TEXT NOT NULL,
    call_sid TEXT NOT NULL,
    sid TEXT NOT NULL,
    callback TEXT NOT NULL,
    method TEXT NOT NULL,
    date_created DOUBLE PRECISION NOT NULL,
    PRIMARY KEY (account_sid, call_sid, sid)
) WITHOUT ROWID;
CREATE INDEX message_subscriptions_old ON message_subscriptions (sid);
