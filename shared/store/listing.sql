-- Statements of the readers that walk: each looks at a bounded stretch, whatever lies beside it.

-- newest_below: the newest recipient before an id, and its batch
SELECT id, batch FROM recipient WHERE id < ? ORDER BY id DESC LIMIT 1;

-- oldest_above: the oldest recipient after an id, and its batch
SELECT id, batch FROM recipient WHERE id > ? ORDER BY id LIMIT 1;

-- batches_down: a topic's batches from this one downwards
SELECT id, first, last FROM batch WHERE topic = ? AND id <= ? ORDER BY id DESC LIMIT ?;

-- batches_up: a topic's batches from this one upwards
SELECT id, first, last FROM batch WHERE topic = ? AND id >= ? ORDER BY id LIMIT ?;

-- fitting: recipients between two ids that fit: state, events had, address
SELECT id FROM recipient
WHERE id BETWEEN ?1 AND ?2
    AND (?3 IS NULL OR ?3 = CASE
        WHEN state = 0 AND ?3 IN (0, 4) AND EXISTS (
            SELECT 1 FROM batch JOIN topic ON topic.id = batch.topic
            WHERE batch.id = recipient.batch
                AND batch.id <= topic.cancelled_upto AND batch.id > topic.swept_upto
        ) THEN 4 ELSE state END)
    AND (?4 = 0 OR seen & ?4)
    AND (?5 IS NULL OR email = ?5 COLLATE NOCASE);

-- fitting_in_topic: the same among a topic's batches between two, up to so many
SELECT recipient.id
FROM topic
CROSS JOIN batch ON batch.topic = topic.id
CROSS JOIN recipient ON recipient.id BETWEEN max(batch.first, ?1) AND min(batch.last, ?2)
WHERE topic.id = ?6 AND batch.id BETWEEN ?7 AND ?8
    AND (?3 IS NULL OR ?3 = CASE
        WHEN recipient.state = 0
            AND batch.id <= topic.cancelled_upto AND batch.id > topic.swept_upto
        THEN 4 ELSE recipient.state END)
    AND (?4 = 0 OR recipient.seen & ?4)
    AND (?5 IS NULL OR recipient.email = ?5 COLLATE NOCASE)
ORDER BY batch.id, recipient.id LIMIT ?9;

-- failures_of: the Failed recipients of a topic, up to so many
SELECT recipient FROM failure WHERE topic = ? LIMIT ?;

-- unknowns: the Unknown recipients, up to so many
SELECT recipient FROM unknown LIMIT ?;

-- leased: the Processed recipients, job by job
SELECT recipients FROM lease;

-- recipients: all that a list tells of these, as far as they (still) fit
SELECT recipient.id, topic.name, recipient.email,
    CASE
        WHEN recipient.state = 0
            AND batch.id <= topic.cancelled_upto AND batch.id > topic.swept_upto
        THEN 4 ELSE recipient.state
    END AS standing,
    CASE
        WHEN recipient.state = 0
            AND batch.id <= topic.cancelled_upto AND batch.id > topic.swept_upto
        THEN 'cancelled' ELSE recipient.code
    END,
    recipient.detail, recipient.attempts, batch.urgent, recipient.message_id, batch.accepted_at,
    -- A batch that was rescheduled in mid-send: what waits has the new time, what left had another.
    CASE
        WHEN recipient.state IN (0, 1) AND batch.id <= topic.redated_upto
        THEN CASE WHEN topic.redate_scheduled THEN topic.redate_due END
        WHEN batch.scheduled AND coalesce(recipient.sent_at >= batch.due_at, 1) THEN batch.due_at
    END,
    batch.expires_at, recipient.sent_at, recipient.feedback, recipient.seen,
    coalesce(opening.hits, 0), recipient.flags
FROM recipient
JOIN batch ON batch.id = recipient.batch
JOIN topic ON topic.id = batch.topic
LEFT JOIN opening ON opening.recipient = recipient.id
WHERE recipient.id IN (SELECT value FROM carray(?1))
    AND (?2 IS NULL OR standing = ?2)
    AND (?3 = 0 OR recipient.seen & ?3)
    AND (?4 IS NULL OR recipient.email = ?4 COLLATE NOCASE)
    AND (?5 IS NULL OR batch.topic = ?5);

-- story: what a recipient's topic, batch and place in the queue tell
SELECT content.subject, topic.cancelled_at, topic.paused_at,
    CASE
        WHEN batch.id <= topic.redate_upto THEN topic.redate_due
        ELSE coalesce(retry.due_at, batch.due_at)
    END,
    -- Not one that waits for the time its topic was rescheduled to.
    retry.recipient IS NOT NULL AND NOT (
        batch.id <= topic.redated_upto
        AND (topic.redate_upto > 0 OR retry.due_at = topic.redate_due)
    ),
    unknown.since, unknown.cancelled,
    opening.first_at, opening.last_at
FROM recipient
JOIN batch ON batch.id = recipient.batch
JOIN topic ON topic.id = batch.topic
LEFT JOIN content ON content.id = batch.content
LEFT JOIN retry ON retry.recipient = recipient.id
LEFT JOIN unknown ON unknown.recipient = recipient.id
LEFT JOIN opening ON opening.recipient = recipient.id
WHERE recipient.id = ?;

-- refusals: a recipient's calls that did not end in acceptance, and what was decided, newest first
SELECT at, attempt, verdict, code, detail FROM refusal WHERE recipient = ?
ORDER BY at DESC, attempt DESC LIMIT ?;

-- results: a recipient's events, by kind
SELECT kind, at, subtype, detail FROM result WHERE recipient = ? LIMIT ?;

-- suppressions: addresses that are not mailed, in order, after one
SELECT email, reason, source, detail, created_at FROM suppression
WHERE email > ? ORDER BY email LIMIT ?;

-- suppression: whether and why an address (lower case) is not mailed
SELECT email, reason, source, detail, created_at FROM suppression WHERE email = ?;
