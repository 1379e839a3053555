-- Mail that was sent and heard of long ago, made without the writer: it fills a database.

-- make_sent: SES accepted these, under ids as it makes them, and they were delivered
UPDATE recipient SET state = 2, attempts = 1, feedback = 30, seen = 5, sent_at = :now,
    message_id = printf('%016x-%08x-5e6f-7a8b-9c0d-%012x-000000', :now + id / 1000, id, id)
WHERE id BETWEEN :first AND :last;

-- make_heard: each has the events Send and Delivery
INSERT INTO result (recipient, kind, at)
SELECT id, kind.value, :now FROM recipient
JOIN (SELECT 10 AS value UNION ALL SELECT 30) AS kind
WHERE id BETWEEN :first AND :last ORDER BY id, kind.value;

-- end_batch: nothing of it is left to claim
UPDATE batch SET next = last + 1 WHERE first = :first;

-- count_sent: the topic's counters follow
UPDATE topic SET created = created - (:last - :first + 1), sent = sent + (:last - :first + 1)
WHERE name = :topic;

-- end_work: nothing waits
DELETE FROM work;
