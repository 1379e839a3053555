-- Statements of the writer: orders over topics and over single mails, expiry, and their sweeps.

-- ── orders ──

-- created_count: how many of a topic wait
SELECT created FROM topic WHERE id = ?;

-- topic_leases: the jobs of a topic in senders' hands
SELECT job, batch, topic, urgent, recipients, gated_at, cancelled FROM lease WHERE topic = ?;

-- cancel_topic: what was accepted up to this batch is cancelled, and so are the orders about it;
-- what an earlier sweep passed over is looked at again, for some of it may have been put back since
UPDATE topic SET cancelled_upto = ?2, swept_upto = 0, cancelled_at = ?3, redate_upto = 0, retry_upto = 0
WHERE id = ?1;

-- mark_cancelled: these calls are in the air; what comes back does not go out again
UPDATE lease SET cancelled = 1 WHERE job IN (SELECT value FROM carray(?));

-- mark_unknown_cancelled: unknowns of a cancelled topic are not sent again
UPDATE unknown SET cancelled = 1 WHERE recipient IN (
    SELECT recipient.id FROM unknown
    JOIN recipient ON recipient.id = unknown.recipient
    JOIN batch ON batch.id = recipient.batch
    WHERE batch.topic = ?
);

-- pause_topic: it lets nothing go; said again, it is the reason that changes
UPDATE topic SET paused_at = coalesce(paused_at, ?2), pause_reason = ?3 WHERE id = ?1;

-- resume_topic: it goes on
UPDATE topic SET paused_at = NULL, pause_reason = '' WHERE id = ?;

-- redate_topic: what was accepted up to this batch is due at this time
UPDATE topic SET redate_upto = ?2, redated_upto = ?2, redate_due = ?3, redate_scheduled = ?4
WHERE id = ?1;

-- retry_topic: whoever of it is Failed by now is tried again
UPDATE topic SET retry_upto = coalesce((SELECT max(number) FROM failure WHERE topic = ?1), 0)
WHERE id = ?1;

-- failed_count: how many of a topic are Failed, and still there to be tried again
SELECT failed - forgotten_failed FROM topic WHERE id = ?;

-- ── single mails ──

-- set_recipients: one recipient less in a job
UPDATE lease SET recipients = ? WHERE job = ?;

-- unknown_since: since when it has been unknown, and whether it may be sent again
SELECT since, cancelled FROM unknown WHERE recipient = ?;

-- cancel_unknown: it is not sent again
UPDATE unknown SET cancelled = 1 WHERE recipient = ?;

-- retry_ordered: whether a Failed recipient is about to be tried again
SELECT 1 FROM failure JOIN topic ON topic.id = failure.topic
WHERE failure.recipient = ? AND failure.number <= topic.retry_upto;

-- ── sweeps ──

-- unswept: the next topic whose cancelled rows do not say so yet
SELECT id FROM topic INDEXED BY topic_unswept
WHERE swept_upto < cancelled_upto AND id > ? ORDER BY id LIMIT 1;

-- redating: the next topic whose mail is being given another due time
SELECT id FROM topic INDEXED BY topic_redating WHERE redate_upto > 0 AND id > ? ORDER BY id LIMIT 1;

-- retrying: the next topic whose Failed ones are put back; what is cancelled is swept first
SELECT id FROM topic INDEXED BY topic_retrying
WHERE retry_upto > 0 AND swept_upto >= cancelled_upto AND id > ? ORDER BY id LIMIT 1;

-- topic_orders: what is left to do for a topic
SELECT CASE WHEN swept_upto < cancelled_upto THEN cancelled_upto ELSE 0 END,
    redate_upto, redate_due, redate_scheduled, retry_upto
FROM topic WHERE id = ?;

-- cancelled_batches: open batches of a topic up to its cut
SELECT id, next, last FROM batch INDEXED BY batch_open
WHERE topic = ? AND next <= last AND id <= ? LIMIT ?;

-- cancelled_retries: retries of a topic from before its cut
SELECT retry.recipient FROM retry INDEXED BY retry_due
CROSS JOIN recipient ON recipient.id = retry.recipient
WHERE retry.topic = ? AND recipient.batch <= ? LIMIT ?;

-- stop_these: those of them that wait will not be sent, for this reason
UPDATE recipient SET state = 4, code = ?, detail = NULL
WHERE id IN (SELECT value FROM carray(?)) AND state = 0;

-- close_batches: nothing is left to be claimed of these
UPDATE batch SET next = last + 1 WHERE id IN (SELECT value FROM carray(?));

-- set_swept: every row says so
UPDATE topic SET swept_upto = ? WHERE id = ?;

-- redate_sooner: open batches that were due sooner are due then
UPDATE batch SET due_at = ?4, scheduled = ?5 WHERE id IN (
    SELECT id FROM batch INDEXED BY batch_open
    WHERE topic = ?1 AND urgent = ?2 AND next <= last AND due_at < ?4 AND id <= ?3 LIMIT ?6
);

-- redate_later: open batches that were due later are due then
UPDATE batch SET due_at = ?4, scheduled = ?5 WHERE id IN (
    SELECT id FROM batch INDEXED BY batch_open
    WHERE topic = ?1 AND urgent = ?2 AND next <= last AND due_at > ?4 AND id <= ?3 LIMIT ?6
);

-- redate_sooner_retries: recipients whose next turn was sooner have it then
UPDATE retry SET due_at = ?4 WHERE recipient IN (
    SELECT retry.recipient FROM retry INDEXED BY retry_due
    CROSS JOIN recipient ON recipient.id = retry.recipient
    WHERE retry.topic = ?1 AND retry.urgent = ?2 AND retry.due_at < ?4 AND recipient.batch <= ?3
    LIMIT ?5
);

-- redate_later_retries: recipients whose next turn was later have it then
UPDATE retry SET due_at = ?4 WHERE recipient IN (
    SELECT retry.recipient FROM retry INDEXED BY retry_due
    CROSS JOIN recipient ON recipient.id = retry.recipient
    WHERE retry.topic = ?1 AND retry.urgent = ?2 AND retry.due_at > ?4 AND recipient.batch <= ?3
    LIMIT ?5
);

-- set_redated: every due time is the new one
UPDATE topic SET redate_upto = 0 WHERE id = ?;

-- failures: Failed recipients of a topic, up to a number
SELECT recipient FROM failure WHERE topic = ? AND number <= ? ORDER BY number LIMIT ?;

-- note_retried: for their histories
INSERT INTO refusal (recipient, at, attempt, verdict, code, detail)
SELECT id, max(?2, coalesce((SELECT max(at) + 1 FROM refusal WHERE refusal.recipient = recipient.id), 0)),
    attempts, 'retried', '', 'told to try the failed ones again'
FROM recipient WHERE id IN (SELECT value FROM carray(?1)) AND state = 3;

-- requeue_these: from Failed back to Created, attempts from zero
UPDATE recipient SET state = 0, refusals = 0, code = NULL, detail = NULL
WHERE id IN (SELECT value FROM carray(?)) AND state = 3;

-- add_retries: another turn at this time, or when their topic is rescheduled to
INSERT OR REPLACE INTO retry (recipient, topic, urgent, due_at, expires_at)
SELECT recipient.id, batch.topic, batch.urgent,
    CASE WHEN batch.id <= topic.redated_upto THEN max(?2, topic.redate_due) ELSE ?2 END,
    batch.expires_at
FROM recipient
JOIN batch ON batch.id = recipient.batch
JOIN topic ON topic.id = batch.topic
WHERE recipient.id IN (SELECT value FROM carray(?1));

-- set_retried: all of them are back in the queue
UPDATE topic SET retry_upto = 0 WHERE id = ?;

-- ── expiry ──

-- has_expired: whether anything waits that has expired
SELECT 1 WHERE EXISTS (
    SELECT 1 FROM batch INDEXED BY batch_expiry
    WHERE expires_at IS NOT NULL AND next <= last AND expires_at <= ?1
) OR EXISTS (
    SELECT 1 FROM retry INDEXED BY retry_expiry WHERE expires_at IS NOT NULL AND expires_at <= ?1
);

-- expired_batches: open batches that have expired, and whether they are cancelled anyway
SELECT batch.id, batch.next, batch.last, batch.topic,
    batch.id <= topic.cancelled_upto AND batch.id > topic.swept_upto
FROM batch INDEXED BY batch_expiry
CROSS JOIN topic ON topic.id = batch.topic
WHERE batch.expires_at IS NOT NULL AND batch.next <= batch.last AND batch.expires_at <= ?
ORDER BY batch.expires_at LIMIT ?;

-- expired_retries: recipients that expired before their next turn; the same
SELECT retry.recipient, retry.topic,
    recipient.batch <= topic.cancelled_upto AND recipient.batch > topic.swept_upto
FROM retry INDEXED BY retry_expiry
CROSS JOIN recipient ON recipient.id = retry.recipient
CROSS JOIN topic ON topic.id = retry.topic
WHERE retry.expires_at IS NOT NULL AND retry.expires_at <= ?
ORDER BY retry.expires_at LIMIT ?;
