-- A plain way to keep mail.

-- make: contents and recipients
CREATE TABLE content (id INTEGER PRIMARY KEY, subject TEXT NOT NULL, html TEXT NOT NULL);
CREATE TABLE recipient (
    id INTEGER PRIMARY KEY, topic TEXT NOT NULL, content INTEGER NOT NULL, email TEXT NOT NULL,
    due TEXT NOT NULL, status INTEGER NOT NULL DEFAULT 0
);

-- add_content: what is mailed
INSERT INTO content (subject, html) VALUES (?, ?) RETURNING id;

-- add_recipient: to whom
INSERT INTO recipient (topic, content, email, due) VALUES (?, ?, ?, ?);
