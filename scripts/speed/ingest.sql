-- The Rust service's way to keep mail: one table, six indexes, the contents beside it.

-- make: both tables and every index
CREATE TABLE email_requests (
    id INTEGER PRIMARY KEY AUTOINCREMENT, topic_id TEXT NOT NULL, content_id INTEGER NOT NULL,
    email TEXT NOT NULL, scheduled_at TEXT, status INTEGER NOT NULL, error TEXT, message_id TEXT,
    created_at TEXT NOT NULL, updated_at TEXT NOT NULL, deleted_at TEXT
);
CREATE TABLE email_contents (id INTEGER PRIMARY KEY, subject TEXT, content TEXT);
CREATE INDEX i1 ON email_requests (status);
CREATE INDEX i2 ON email_requests (scheduled_at);
CREATE INDEX i3 ON email_requests (topic_id);
CREATE INDEX i4 ON email_requests (message_id);
CREATE INDEX i5 ON email_requests (created_at);
CREATE INDEX i6 ON email_requests (status, scheduled_at);

-- add_content: what is mailed
INSERT INTO email_contents (subject, content) VALUES (?, ?);

-- add_requests: one recipient; several have the last bracket as often
INSERT INTO email_requests
    (topic_id, content_id, email, scheduled_at, status, created_at, updated_at)
VALUES (?, ?, ?, ?, 0, ?, ?);
