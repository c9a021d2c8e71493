-- Whom a conference tells of what happens, for a restart that ends it.

ALTER TABLE conferences ADD COLUMN status_callback TEXT NOT NULL DEFAULT '';
ALTER TABLE conferences ADD COLUMN status_callback_method TEXT NOT NULL DEFAULT 'POST';
ALTER TABLE conferences ADD COLUMN status_callback_events TEXT NOT NULL DEFAULT ''; -- words between blanks
ALTER TABLE conferences ADD COLUMN told BIGINT NOT NULL DEFAULT 0; -- how many callbacks there were
