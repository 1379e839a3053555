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

-- answered_these: what these submissions were answered with
SELECT id, answer FROM answered WHERE id IN (SELECT value FROM carray(?));

-- answered_by_key: what an order of a caller's key was answered with (ids "KEY:BODY:NONCE")
SELECT answer FROM answered WHERE id > ?1 || ':' AND id < ?1 || ';' LIMIT 1;

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
INSERT INTO batch (id, topic, urgent, content, headers, due_at, scheduled, expires_at, accepted_at,
    first, next, last)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- add_recipient: one address, under the next id
INSERT INTO recipient (id, batch, email) VALUES (?, ?, ?);

-- add_recipients: many addresses at once, in order
INSERT INTO recipient (batch, email) SELECT ?, value FROM carray(?);

-- suppress_these: on the suppression list when they were accepted
UPDATE recipient SET state = 6, code = 'suppressed' WHERE id IN (SELECT value FROM carray(?));

-- add_work: a topic has mail waiting from this time on; not if it is paused or being redated
INSERT INTO work (topic, urgent, next_due)
SELECT ?1, ?2, ?3 FROM topic WHERE id = ?1 AND paused_at IS NULL AND redate_upto = 0
ON CONFLICT (topic, urgent) DO UPDATE SET next_due = min(next_due, excluded.next_due);

-- ── claims ──

-- claimed_before: the leases of a claim that was answered already
SELECT job, topic, urgent, batch, recipients FROM lease WHERE claim = ? ORDER BY job;

-- halts: up to which batch what waits is cancelled, though its rows do not say so yet; and whether
-- nothing at all may be claimed
SELECT CASE WHEN swept_upto < cancelled_upto THEN cancelled_upto ELSE 0 END,
    paused_at IS NOT NULL OR redate_upto > 0
FROM topic WHERE id = ?;

-- due_retries: recipients of a topic whose next turn has come, neither cancelled nor expired; it looks
-- at 500 that are and no more, for the sweeps come for them
SELECT due.recipient, recipient.batch
FROM (
    SELECT recipient, expires_at FROM retry INDEXED BY retry_due
    WHERE topic = ?1 AND urgent = ?2 AND due_at <= ?3
    ORDER BY due_at LIMIT ?5 + 500
) AS due
CROSS JOIN recipient ON recipient.id = due.recipient
WHERE recipient.batch > ?4 AND (due.expires_at IS NULL OR due.expires_at > ?3)
LIMIT ?5;

-- due_batches: batches of a topic whose time has come, and where their cursors stand; the same
SELECT id, next, last FROM (
    SELECT id, next, last, expires_at FROM batch INDEXED BY batch_open
    WHERE topic = ?1 AND urgent = ?2 AND due_at <= ?3 AND next <= last
    ORDER BY due_at LIMIT ?5 + 500
) AS due
WHERE id > ?4 AND (expires_at IS NULL OR expires_at > ?3)
LIMIT ?5;

-- lease_stretch: lease what waits between two ids
UPDATE recipient SET state = 1 WHERE id BETWEEN ? AND ? AND state = 0
RETURNING id, email, attempts, batch;

-- lease_these: lease what waits among these
UPDATE recipient SET state = 1 WHERE id IN (SELECT value FROM carray(?)) AND state = 0
RETURNING id, email, attempts, batch;

-- addressees: addresses and attempts of these
SELECT id, email, attempts, batch FROM recipient WHERE id IN (SELECT value FROM carray(?));

-- move_cursor: where a batch is claimed from next
UPDATE batch SET next = ? WHERE id = ?;

-- batch_contents: what the mail of these batches says
SELECT id, content, headers FROM batch WHERE id IN (SELECT value FROM carray(?));

-- drop_retries: these were claimed, or need no retry any more
DELETE FROM retry WHERE recipient IN (SELECT value FROM carray(?));

-- add_lease: one call leased to one sender's epoch
INSERT INTO lease (job, claim, sender, epoch, boot, claimed_mono, deadline_mono, batch, topic, urgent,
    recipients)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- next_due: when a topic's first waiting mail is due, what a sweep is still to stop included
SELECT min(due_at) FROM (
    SELECT (
        SELECT due_at FROM retry INDEXED BY retry_due
        WHERE topic = ?1 AND urgent = ?2 ORDER BY due_at LIMIT 1
    ) AS due_at
    UNION ALL
    SELECT (
        SELECT due_at FROM batch INDEXED BY batch_open
        WHERE topic = ?1 AND urgent = ?2 AND next <= last ORDER BY due_at LIMIT 1
    )
);

-- set_work: when a topic's next mail is due
UPDATE work SET next_due = ? WHERE topic = ? AND urgent = ?;

-- drop_work: a topic has nothing waiting
DELETE FROM work WHERE topic = ? AND urgent = ?;

-- ── gates and leases ──

-- leases_of: leases of these jobs, if this sender's epoch holds them, and whether a topic waits: it is
-- paused, or its mail is due at another time now, or no longer at all
SELECT lease.job, lease.batch, lease.topic, lease.urgent, lease.recipients, lease.gated_at,
    lease.cancelled, lease.deadline_mono, lease.boot,
    topic.paused_at IS NOT NULL OR batch.id <= topic.redated_upto AND topic.redate_due > ?4
        OR coalesce(batch.expires_at <= ?4, 0)
FROM lease
JOIN topic ON topic.id = lease.topic
JOIN batch ON batch.id = lease.batch
WHERE lease.job IN (SELECT value FROM carray(?1)) AND lease.sender = ?2 AND lease.epoch = ?3;

-- leased: which of these may still go
SELECT id FROM recipient WHERE id IN (SELECT value FROM carray(?)) AND state = 1;

-- open_gates: record the attempts
UPDATE lease SET gated_at = ? WHERE job IN (SELECT value FROM carray(?));

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

-- leases: the leases of these jobs
SELECT job, batch, topic, urgent, recipients, gated_at, cancelled FROM lease
WHERE job IN (SELECT value FROM carray(?));

-- lease: one job's lease
SELECT job, batch, topic, urgent, recipients, gated_at, cancelled FROM lease WHERE job = ?;

-- standing: where these recipients stand, cancelled batches not yet swept included
SELECT recipient.id, recipient.state, recipient.attempts, recipient.refusals, recipient.flags,
    recipient.feedback, recipient.sent_at, recipient.message_id, recipient.email, recipient.batch,
    batch.topic, batch.urgent, recipient.seen,
    batch.expires_at, CASE WHEN batch.id <= topic.redated_upto THEN topic.redate_due ELSE 0 END,
    batch.id <= topic.cancelled_upto AND batch.id > topic.swept_upto
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

-- count_refusal: refused for now, once more
UPDATE recipient SET refusals = refusals + 1 WHERE id = ?;

-- set_flag: maybe_duplicate (1) or duplicate_suspected (2)
UPDATE recipient SET flags = flags | ? WHERE id = ?;

-- add_retry: another turn at this time
INSERT OR REPLACE INTO retry (recipient, topic, urgent, due_at, expires_at) VALUES (?, ?, ?, ?, ?);

-- add_refusal: for the recipient's history
INSERT OR IGNORE INTO refusal (recipient, at, attempt, verdict, code, detail)
VALUES (?, ?, ?, ?, ?, ?);

-- add_note: what was decided about a recipient, for its history; never two at one time
INSERT INTO refusal (recipient, at, attempt, verdict, code, detail)
VALUES (?1, max(?2, coalesce((SELECT max(at) + 1 FROM refusal WHERE recipient = ?1), 0)), ?3, ?4, '', ?5);

-- add_failure: Failed, in the order of failing
INSERT OR REPLACE INTO failure (recipient, topic) VALUES (?, ?);

-- drop_failures: no longer Failed
DELETE FROM failure WHERE recipient IN (SELECT value FROM carray(?));

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

-- stamp_topic: when a topic's mail was first and last sent; how many in these ten seconds
UPDATE topic SET first_sent_at = min(coalesce(first_sent_at, ?2), ?2),
    last_sent_at = max(coalesce(last_sent_at, ?3), ?3),
    pace_before = CASE pace_slot WHEN ?4 THEN pace_before WHEN ?4 - 1 THEN pace_count ELSE 0 END,
    pace_count = CASE pace_slot WHEN ?4 THEN pace_count + ?5 ELSE ?5 END,
    pace_slot = ?4
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

-- add_result: an event; a repeat changes nothing
INSERT OR IGNORE INTO result (recipient, kind, at, subtype, detail) VALUES (?, ?, ?, ?, ?);

-- set_feedback: the highest verdict so far, and which kinds of event there were
UPDATE recipient SET feedback = max(feedback, ?), seen = seen | ? WHERE id = ?;

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

-- ── digests ──

-- due_work: every topic with mail due before a time, in these lanes
SELECT topic, urgent, next_due FROM work
WHERE urgent IN (SELECT value FROM carray(?)) AND next_due <= ?;

-- work_of: when one topic's mail is due, if that is before a time
SELECT topic, urgent, next_due FROM work WHERE topic = ? AND urgent = ? AND next_due <= ?;

-- later_work: the soonest due time of a lane after a time
SELECT min(next_due) FROM work WHERE urgent = ? AND next_due > ?;

-- account: all of it
SELECT max_rate, quota, sent_24h, sent_ever, sent_ever_at_read, read_at, sandbox, sending_enabled,
    enforcement, read_error, rate_wanted, hold_reason, hold_detail, hold_since, hold_failures, probe_at
FROM account;

-- sent_ever: sent in all
SELECT sent_ever FROM account;

-- set_account_read: what GetAccount answered
UPDATE account SET max_rate = ?, quota = ?, sent_24h = ?, sent_ever_at_read = sent_ever, read_at = ?,
    sandbox = ?, sending_enabled = ?, enforcement = ?, read_error = '';

-- set_read_error: GetAccount failed
UPDATE account SET read_error = ?;

-- set_hold: all sending waits, or no longer
UPDATE account SET hold_reason = ?, hold_detail = ?, hold_since = ?, hold_failures = ?, probe_at = ?;

-- sent_minutes: sent and heard between two minutes
SELECT coalesce(sum(sent), 0), coalesce(sum(heard), 0) FROM sent_minute
WHERE minute >= ? AND minute < ?;

-- first_sent_minute: the first minute of sending after a time
SELECT min(minute) FROM sent_minute WHERE minute >= ? AND sent > 0;

-- ear: since when the webhook has been up without a gap, and since when events are proven
SELECT since, last, proven_since FROM ear;

-- set_proven: since when events are known to arrive, or that they are not
UPDATE ear SET proven_since = ?;

-- set_ear: the webhook is up
INSERT INTO ear (one, since, last) VALUES (1, ?, ?)
ON CONFLICT (one) DO UPDATE SET since = excluded.since, last = excluded.last;
