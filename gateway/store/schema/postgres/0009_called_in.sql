-- expand
-- Who is being called into a conference is one of its participants, as at Twilio.

ALTER TABLE participants ADD COLUMN status TEXT COLLATE "C" NOT NULL DEFAULT 'connected'; -- | 'queued'
CREATE INDEX participants_called ON participants (call_sid) WHERE status = 'queued';
