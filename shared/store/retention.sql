-- Statements of the writer: what is kept for a time only, in small steps.

-- age_answered: answers are kept a day
DELETE FROM answered WHERE id IN (SELECT id FROM answered WHERE created_at < ? LIMIT 500);

-- age_idempotency: keys are kept a day
DELETE FROM idempotency WHERE key IN (SELECT key FROM idempotency WHERE created_at < ? LIMIT 500);

-- age_minutes: minutes are kept two days, hours for ever
DELETE FROM sent_minute WHERE minute IN (SELECT minute FROM sent_minute WHERE minute < ? LIMIT 500);

-- age_orphans: the newest ten thousand are kept
DELETE FROM orphan WHERE id <= (SELECT max(id) FROM orphan) - 10000;

-- age_old_orphans: and of these none that is older than raw events are kept
DELETE FROM orphan WHERE id <= (SELECT min(id) FROM orphan) + 500 AND seen_at < ?;

-- ── raw events, in the order of recipients ──

-- next_event: the first recipient, from an id on, of whom an event is kept
SELECT min(recipient) FROM result WHERE recipient >= ?;

-- accepted_at: when a recipient was accepted
SELECT batch.accepted_at FROM recipient JOIN batch ON batch.id = recipient.batch
WHERE recipient.id = ?;

-- drop_events: events of a stretch of recipients from before a time
DELETE FROM result WHERE recipient BETWEEN ? AND ? AND at < ?;

-- ── recipients, batch by batch in the order of due times ──

-- batches_due_at: batches due at one time, before another, from an id on
SELECT id FROM batch WHERE due_at = ?1 AND id >= ?2 AND due_at < ?3 ORDER BY id LIMIT ?4;

-- batches_due_after: batches due after one time and before another
SELECT id FROM batch WHERE due_at > ?1 AND due_at < ?2 ORDER BY due_at, id LIMIT ?3;

-- batches: these, in that order, and whether all orders over their topics are carried out
SELECT batch.due_at, batch.id, batch.topic, batch.content, batch.first, batch.last,
    batch.next > batch.last AND topic.swept_upto >= topic.cancelled_upto
        AND topic.redate_upto = 0 AND topic.retry_upto = 0
FROM batch JOIN topic ON topic.id = batch.topic
WHERE batch.id IN (SELECT value FROM carray(?)) ORDER BY batch.due_at, batch.id;

-- leased_batches: batches of which a sender has something in hand
SELECT DISTINCT batch FROM lease;

-- final_recipients: recipients of a stretch that have been final since before a time
SELECT id, state FROM recipient
WHERE id BETWEEN ?1 AND ?2 AND (
    state = 2 AND sent_at < ?3
    OR state IN (3, 4, 6) AND NOT EXISTS (
        SELECT 1 FROM refusal WHERE refusal.recipient = recipient.id AND refusal.at >= ?3
    )
);

-- forget_results: their events
DELETE FROM result WHERE recipient IN (SELECT value FROM carray(?));

-- forget_openings: their opens
DELETE FROM opening WHERE recipient IN (SELECT value FROM carray(?));

-- forget_refusals: their history
DELETE FROM refusal WHERE recipient IN (SELECT value FROM carray(?));

-- forget_recipients: themselves
DELETE FROM recipient WHERE id IN (SELECT value FROM carray(?));

-- count_forgotten: a topic's counters have recipients that are gone
UPDATE topic SET forgotten = forgotten + ?, forgotten_failed = forgotten_failed + ? WHERE id = ?;

-- any_recipient: whether any is left between two ids
SELECT 1 FROM recipient WHERE id BETWEEN ? AND ? LIMIT 1;

-- forget_batch: nobody is left of it
DELETE FROM batch WHERE id = ?;

-- forget_content: no batch uses it, and its id is surely not given out again
DELETE FROM content WHERE id = ?1 AND id < (SELECT max(id) FROM content)
    AND NOT EXISTS (SELECT 1 FROM batch WHERE batch.content = ?1);

-- is_spare: whether a content is there, though no batch uses it
SELECT 1 FROM content WHERE id = ?1
    AND NOT EXISTS (SELECT 1 FROM batch WHERE batch.content = ?1);

-- spared_content: the content that could not go when its last batch did
SELECT content FROM spared_content;

-- spare_content: remember it
INSERT OR REPLACE INTO spared_content (one, content) VALUES (1, ?);

-- drop_spared: it is gone, or in use again
DELETE FROM spared_content;
