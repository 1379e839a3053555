-- topic: a topic whose mail is all Sent
INSERT INTO topic (name, sent, created_at, first_sent_at, last_sent_at)
VALUES (?1, ?2, ?3, ?3, ?4);

-- content: what it was
INSERT INTO content (digest, subject, html, created_at) VALUES (?, 'Bench', ?, ?);

-- batch: recipients ?1 to ?2
INSERT INTO batch (topic, content, due_at, accepted_at, first, next, last)
VALUES ((SELECT max(id) FROM topic), 1, ?3, ?3, ?1, ?2 + 1, ?2);

-- recipients: of that batch, sent one after the other from ?3 on, ?4 recipients a second
INSERT INTO recipient (
    id, batch, email, state, attempts, feedback, sent_at, message_id, seen
)
WITH RECURSIVE number (i) AS (SELECT ?1 UNION ALL SELECT i + 1 FROM number WHERE i < ?2)
SELECT
    i, (SELECT max(id) FROM batch), 'reader.' || i || '@example.com', 2, 1, 30,
    CAST(?3 + 1000 * i / ?4 AS INTEGER),
    format('010c%016x-0a1b2c3d-4e5f-6789-abcd-ef0123456789-000000', i), ?5
FROM number;

-- results: each of them delivered
INSERT INTO result (recipient, kind, at)
SELECT id, 30, sent_at FROM recipient WHERE id BETWEEN ?1 AND ?2;

-- kinds: counted
INSERT INTO topic_result (topic, kind, recipients) VALUES ((SELECT max(id) FROM topic), 30, ?);

-- minutes: counted
INSERT INTO sent_minute (minute, sent, heard)
SELECT sent_at / 60000, count(*), count(*) FROM recipient GROUP BY 1;

-- hours: counted
INSERT INTO sent_hour (hour, sent) SELECT minute / 60, sum(sent) FROM sent_minute GROUP BY 1;

-- account: counted
UPDATE account SET sent_ever = ?;
