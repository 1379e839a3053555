-- Statements of the writer. Each costs what it touches: a test refuses full scans.

-- install: who this installation is
SELECT install, pixel_secret FROM install;

-- add_install: make this installation itself, once
INSERT INTO install (one, install, pixel_secret, created_at) VALUES (1, ?, ?, ?);

-- add_account: the one row of the account
INSERT OR IGNORE INTO account (one) VALUES (1);

-- add_no_topic: the row that mail without a topic_id shares
INSERT OR IGNORE INTO topic (id, name, created_at) VALUES (1, NULL, ?);

-- sequence: the newest id of a table that never uses one twice
SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = ?), 0);

-- totals: recipients by state, over all topics; asked once, at start
SELECT coalesce(sum(created), 0), coalesce(sum(processed), 0), coalesce(sum(sent), 0),
    coalesce(sum(failed), 0), coalesce(sum(stopped), 0), coalesce(sum(unknown), 0),
    coalesce(sum(suppressed), 0)
FROM topic;

-- ── submissions ──

-- answered: what a submission or an order was answered with
SELECT answer FROM answered WHERE id = ?;

-- add_answered: keep an answer for a repeat
INSERT INTO answered (id, answer, created_at) VALUES (?, ?, ?);

-- idempotency: what a caller's key was used for
SELECT body, submission FROM idempotency WHERE key = ?;

-- add_idempotency: remember a caller's key
INSERT INTO idempotency (key, body, submission, created_at) VALUES (?, ?, ?, ?);

-- topic_by_name: a topic's id
SELECT id FROM topic WHERE name = ?;

-- add_topic: a new topic
INSERT INTO topic (name, created_at) VALUES (?, ?);

-- content_by_digest: a content's id
SELECT id FROM content WHERE digest = ?;

-- add_content: a new content
INSERT INTO content (digest, subject, html, created_at) VALUES (?, ?, ?, ?);

-- add_batch: the recipients of one message, ids first..last
INSERT INTO batch (topic, urgent, content, headers, due_at, scheduled, accepted_at, first, next, last)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?8, ?9);

-- add_recipients: many addresses at once, in order
INSERT INTO recipient (batch, email) SELECT ?, value FROM carray(?);

-- add_work: a topic has mail waiting from this time on
INSERT INTO work (topic, urgent, next_due) VALUES (?, ?, ?)
ON CONFLICT (topic, urgent) DO UPDATE SET next_due = min(next_due, excluded.next_due);

-- ── claims ──

-- claimed_before: the leases of a claim that was answered already
SELECT job, topic, urgent, batch, recipients FROM lease WHERE claim = ? ORDER BY job;

-- cutoff: up to this batch what waits is cancelled, though its rows do not say so yet
SELECT CASE WHEN swept_upto < cancelled_upto THEN cancelled_upto ELSE 0 END
FROM topic WHERE id = ?;

-- due_retries: recipients of a topic whose next turn has come
SELECT retry.recipient, recipient.batch
FROM retry JOIN recipient ON recipient.id = retry.recipient
WHERE retry.topic = ? AND retry.urgent = ? AND retry.due_at <= ? AND recipient.batch > ?
ORDER BY retry.due_at LIMIT ?;

-- due_batches: batches of a topic whose time has come, and where their cursors stand
SELECT id, next, last FROM batch
WHERE topic = ? AND urgent = ? AND due_at <= ? AND next <= last AND id > ?
ORDER BY due_at LIMIT ?;

-- lease_stretch: lease what waits between two ids
UPDATE recipient SET state = 1 WHERE id BETWEEN ? AND ? AND state = 0
RETURNING id, email, attempts;

-- lease_these: lease what waits among these
UPDATE recipient SET state = 1 WHERE id IN (SELECT value FROM carray(?)) AND state = 0
RETURNING id, email, attempts;

-- addressees: addresses and attempts of these
SELECT id, email, attempts FROM recipient WHERE id IN (SELECT value FROM carray(?));

-- move_cursor: where a batch is claimed from next
UPDATE batch SET next = ? WHERE id = ?;

-- batch_content: what a batch's mail says
SELECT content, headers FROM batch WHERE id = ?;

-- drop_retries: these were claimed, or need no retry any more
DELETE FROM retry WHERE recipient IN (SELECT value FROM carray(?));

-- add_lease: one call leased to one sender's epoch
INSERT INTO lease (job, claim, sender, epoch, boot, claimed_mono, deadline_mono, batch, topic, urgent,
    recipients)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- next_due: when a topic's first waiting mail is due
SELECT min(due_at) FROM (
    SELECT (
        SELECT retry.due_at FROM retry JOIN recipient ON recipient.id = retry.recipient
        WHERE retry.topic = ?1 AND retry.urgent = ?2 AND recipient.batch > ?3
        ORDER BY retry.due_at LIMIT 1
    ) AS due_at
    UNION ALL
    SELECT (
        SELECT due_at FROM batch
        WHERE topic = ?1 AND urgent = ?2 AND next <= last AND id > ?3
        ORDER BY due_at LIMIT 1
    )
);

-- set_work: when a topic's next mail is due
UPDATE work SET next_due = ? WHERE topic = ? AND urgent = ?;

-- drop_work: a topic has nothing waiting
DELETE FROM work WHERE topic = ? AND urgent = ?;

-- ── gates and leases ──

-- leases_of: leases of these jobs, if this sender's epoch holds them
SELECT job, batch, topic, urgent, recipients, gated_at, cancelled, deadline_mono, boot FROM lease
WHERE job IN (SELECT value FROM carray(?)) AND sender = ? AND epoch = ?;

-- leased: which of these may still go
SELECT id FROM recipient WHERE id IN (SELECT value FROM carray(?)) AND state = 1;

-- open_gate: record the attempt
UPDATE lease SET gated_at = ? WHERE job = ?;

-- count_attempts: a call will be made for these
UPDATE recipient SET attempts = attempts + 1 WHERE id IN (SELECT value FROM carray(?));

-- drop_leases: these jobs are over
DELETE FROM lease WHERE job IN (SELECT value FROM carray(?));

-- former_leases: what earlier epochs of a sender held
SELECT job, batch, topic, urgent, recipients, gated_at, cancelled, boot FROM lease
WHERE sender = ? AND (epoch < ? OR boot <> ?);

-- idle_leases: jobs of a sender's epoch without an attempt, claimed before a time
SELECT job, batch, topic, urgent, recipients, gated_at, cancelled FROM lease
WHERE sender = ? AND gated_at IS NULL AND claimed_mono < ?;

-- overdue_leases: past their deadline, or of another boot
SELECT job, batch, topic, urgent, recipients, gated_at, cancelled FROM lease
WHERE deadline_mono < ? OR boot <> ? LIMIT 200;

-- in_flight: recipients of gated jobs, all topics
SELECT coalesce(sum(length(recipients) / 8), 0) FROM lease WHERE gated_at IS NOT NULL;

-- content: a content, for a sender
SELECT id, subject, html FROM content WHERE id IN (SELECT value FROM carray(?));

-- ── outcomes and moves ──

-- lease: one job's lease
SELECT job, batch, topic, urgent, recipients, gated_at, cancelled FROM lease WHERE job = ?;

-- standing: where these recipients stand, cancelled batches not yet swept included
SELECT recipient.id, recipient.state, recipient.attempts, recipient.refusals, recipient.flags,
    recipient.feedback, recipient.sent_at, recipient.message_id, recipient.email, recipient.batch,
    batch.topic, batch.urgent, batch.id <= topic.cancelled_upto AND batch.id > topic.swept_upto
FROM recipient
JOIN batch ON batch.id = recipient.batch
JOIN topic ON topic.id = batch.topic
WHERE recipient.id IN (SELECT value FROM carray(?));

-- recipient_by_message_id: whose mail SES gave this id
SELECT id FROM recipient WHERE message_id = ?;

-- set_sent: SES accepted it
UPDATE recipient SET state = 2, sent_at = ?, message_id = coalesce(?, message_id), code = NULL,
    detail = NULL
WHERE id = ?;

-- set_message_id: an event was faster than SES's answer
UPDATE recipient SET message_id = ? WHERE id = ? AND message_id IS NULL;

-- set_state: any other state, with the reason
UPDATE recipient SET state = ?, code = ?, detail = ? WHERE id = ?;

-- stop_these: cancelled while they waited for another turn
UPDATE recipient SET state = 4, code = 'cancelled', detail = NULL
WHERE id IN (SELECT value FROM carray(?)) AND state = 0;

-- count_refusal: refused for now, once more
UPDATE recipient SET refusals = refusals + 1 WHERE id = ?;

-- set_flag: maybe_duplicate (1) or duplicate_suspected (2)
UPDATE recipient SET flags = flags | ? WHERE id = ?;

-- add_retry: another turn at this time
INSERT OR REPLACE INTO retry (recipient, topic, urgent, due_at) VALUES (?, ?, ?, ?);

-- add_refusal: for the recipient's history
INSERT OR IGNORE INTO refusal (recipient, at, attempt, verdict, code, detail)
VALUES (?, ?, ?, ?, ?, ?);

-- add_unknown: SES may have it
INSERT OR REPLACE INTO unknown (recipient, job, since, cancelled) VALUES (?, ?, ?, ?);

-- unknown_job: which job left it unknown
SELECT job, cancelled FROM unknown WHERE recipient = ?;

-- unknown_of: whom a job left unknown
SELECT recipient, cancelled FROM unknown WHERE job = ?;

-- drop_unknowns: no longer unknown
DELETE FROM unknown WHERE recipient IN (SELECT value FROM carray(?));

-- settled_unknowns: unknown since before a time and after another
SELECT recipient, since, cancelled FROM unknown WHERE since BETWEEN ? AND ? LIMIT 500;

-- ── counters ──

-- count_topic: add to a topic's counters
UPDATE topic SET created = created + ?2, processed = processed + ?3, sent = sent + ?4,
    failed = failed + ?5, stopped = stopped + ?6, unknown = unknown + ?7, suppressed = suppressed + ?8
WHERE id = ?1;

-- stamp_topic: when a topic's mail was first and last sent
UPDATE topic SET first_sent_at = min(coalesce(first_sent_at, ?2), ?2),
    last_sent_at = max(coalesce(last_sent_at, ?3), ?3)
WHERE id = ?1;

-- count_result: one more recipient of a topic had an event of a kind
INSERT INTO topic_result (topic, kind, recipients) VALUES (?, ?, ?)
ON CONFLICT (topic, kind) DO UPDATE SET recipients = recipients + excluded.recipients;

-- count_minute: sent, and heard of, by minute of sending
INSERT INTO sent_minute (minute, sent, heard) VALUES (?, ?, ?)
ON CONFLICT (minute) DO UPDATE SET sent = sent + excluded.sent, heard = heard + excluded.heard;

-- count_hour: sent, by hour of sending
INSERT INTO sent_hour (hour, sent) VALUES (?, ?)
ON CONFLICT (hour) DO UPDATE SET sent = sent + excluded.sent;

-- count_ever: sent in all
UPDATE account SET sent_ever = sent_ever + ?;

-- ── events ──

-- has_result: whether a recipient had an event of a kind
SELECT 1 FROM result WHERE recipient = ? AND kind = ? LIMIT 1;

-- add_result: an event; a repeat changes nothing
INSERT OR IGNORE INTO result (recipient, kind, at, subtype, detail) VALUES (?, ?, ?, ?, ?);

-- set_feedback: the highest verdict so far
UPDATE recipient SET feedback = ? WHERE id = ?;

-- opened: whether a mail was opened before
SELECT 1 FROM opening WHERE recipient = ?;

-- add_opening: one more open
INSERT INTO opening (recipient, first_at, last_at, hits) VALUES (?1, ?2, ?2, 1)
ON CONFLICT (recipient) DO UPDATE SET first_at = min(first_at, excluded.first_at),
    last_at = max(last_at, excluded.last_at), hits = hits + 1;

-- add_orphan: an event of no recipient we know yet, or a note; a repeat changes nothing
INSERT INTO orphan (message_id, event, seen_at) SELECT ?1, ?2, ?3
WHERE NOT EXISTS (SELECT 1 FROM orphan WHERE message_id = ?1 AND event = ?2);

-- try_room: something large that is taken away at once
INSERT INTO orphan (message_id, event, seen_at) VALUES ('', zeroblob(?), 0);

-- has_orphan: whether any is kept
SELECT 1 FROM orphan LIMIT 1;

-- orphans_of: events that came before we knew SES's id
SELECT id, event FROM orphan WHERE message_id = ?;

-- drop_orphan: it found its recipient
DELETE FROM orphan WHERE id = ?;

-- applied: the newest numbered batch of a source
SELECT epoch, seq FROM applied WHERE source = ?;

-- set_applied: a numbered batch is in
INSERT OR REPLACE INTO applied (source, epoch, seq) VALUES (?, ?, ?);

-- ── orders ──

-- cancel_topic: what was accepted up to this batch is cancelled
UPDATE topic SET cancelled_upto = ? WHERE id = ?;

-- created_count: how many of a topic wait
SELECT created FROM topic WHERE id = ?;

-- topic_leases: the jobs of a topic in senders' hands
SELECT job, batch, topic, urgent, recipients, gated_at, cancelled FROM lease WHERE topic = ?;

-- mark_cancelled: these calls are in the air; what comes back does not go out again
UPDATE lease SET cancelled = 1 WHERE job IN (SELECT value FROM carray(?));

-- mark_unknown_cancelled: unknowns of a cancelled topic are not sent again
UPDATE unknown SET cancelled = 1 WHERE recipient IN (
    SELECT recipient.id FROM unknown
    JOIN recipient ON recipient.id = unknown.recipient
    JOIN batch ON batch.id = recipient.batch
    WHERE batch.topic = ?
);

-- unswept: topics whose cancelled rows do not say so yet
SELECT id, cancelled_upto FROM topic WHERE swept_upto < cancelled_upto LIMIT 8;

-- cancelled_batches: open batches of a topic up to its cut
SELECT id, next, last FROM batch
WHERE topic = ? AND next <= last AND id <= ? LIMIT ?;

-- stop_stretch: cancelled before they were ever claimed
UPDATE recipient SET state = 4, code = 'cancelled' WHERE id BETWEEN ? AND ? AND state = 0;

-- cancelled_retries: retries of a topic from before its cut
SELECT retry.recipient FROM retry
JOIN recipient ON recipient.id = retry.recipient
WHERE retry.topic = ? AND recipient.batch <= ? LIMIT ?;

-- set_swept: every row says so
UPDATE topic SET swept_upto = ? WHERE id = ?;

-- ── digests ──

-- due_work: every topic with mail due before a time
SELECT topic, urgent, next_due FROM work WHERE next_due <= ?;

-- work_of: when one topic's mail is due, if that is before a time
SELECT topic, urgent, next_due FROM work WHERE topic = ? AND urgent = ? AND next_due <= ?;

-- later_work: the soonest due time after it
SELECT min(next_due) FROM work WHERE next_due > ?;

-- oldest_work: the soonest due time
SELECT min(next_due) FROM work;

-- account: all of it
SELECT max_rate, quota, sent_24h, sent_ever, sent_ever_at_read, read_at, sandbox, sending_enabled,
    enforcement, read_error, bulk_refused, hold_reason, hold_detail, hold_since, hold_failures, probe_at
FROM account;

-- sent_ever: sent in all
SELECT sent_ever FROM account;

-- set_account_read: what GetAccount answered
UPDATE account SET max_rate = ?, quota = ?, sent_24h = ?, sent_ever_at_read = sent_ever, read_at = ?,
    sandbox = ?, sending_enabled = ?, enforcement = ?, read_error = '';

-- set_read_error: GetAccount failed
UPDATE account SET read_error = ?;

-- set_bulk_refused: SendBulkEmail is not to be had, and why
UPDATE account SET bulk_refused = ?;

-- set_hold: all sending waits, or no longer
UPDATE account SET hold_reason = ?, hold_detail = ?, hold_since = ?, hold_failures = ?, probe_at = ?;

-- sent_minutes: sent and heard between two minutes
SELECT coalesce(sum(sent), 0), coalesce(sum(heard), 0) FROM sent_minute
WHERE minute >= ? AND minute < ?;

-- first_sent_minute: the first minute of sending after a time
SELECT min(minute) FROM sent_minute WHERE minute >= ? AND sent > 0;

-- ear: since when the webhook has been up without a gap
SELECT since, last FROM ear;

-- set_ear: the webhook is up
INSERT INTO ear (one, since, last) VALUES (1, ?, ?)
ON CONFLICT (one) DO UPDATE SET since = excluded.since, last = excluded.last;

-- ── ageing, in small steps ──

-- age_answered: answers are kept a day
DELETE FROM answered WHERE id IN (SELECT id FROM answered WHERE created_at < ? LIMIT 500);

-- age_idempotency: keys are kept a day
DELETE FROM idempotency WHERE key IN (SELECT key FROM idempotency WHERE created_at < ? LIMIT 500);

-- age_minutes: minutes are kept two days, hours for ever
DELETE FROM sent_minute WHERE minute IN (SELECT minute FROM sent_minute WHERE minute < ? LIMIT 500);

-- age_orphans: the newest ten thousand are kept
DELETE FROM orphan WHERE id <= (SELECT max(id) FROM orphan) - 10000;
