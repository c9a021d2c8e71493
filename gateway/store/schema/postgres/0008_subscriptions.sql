-- expand
-- Whom an app wants told of what is said in a call by the Voice SDK.

CREATE TABLE message_subscriptions (
    account_sid TEXT COLLATE "C" NOT NULL,
    call_sid TEXT COLLATE "C" NOT NULL,
    sid TEXT COLLATE "C" NOT NULL,
    callback TEXT COLLATE "C" NOT NULL,
    method TEXT COLLATE "C" NOT NULL,
    date_created DOUBLE PRECISION NOT NULL,
    PRIMARY KEY (account_sid, call_sid, sid)
);
CREATE INDEX message_subscriptions_old ON message_subscriptions (sid);
