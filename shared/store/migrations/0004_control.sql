-- 0004: steering topics, expiry, the suppression list, reputation, retention.

-- A paused topic lets nothing go; redate_upto > 0 while its batches are given another due time;
-- failures up to retry_upto go back to the queue; pace_* is what was sent in ten-second slots;
-- forgotten are recipients deleted for their age, which the counters by state still have.
ALTER TABLE topic ADD COLUMN paused_at INTEGER;
ALTER TABLE topic ADD COLUMN pause_reason TEXT NOT NULL DEFAULT '';
ALTER TABLE topic ADD COLUMN cancelled_at INTEGER;
ALTER TABLE topic ADD COLUMN redate_upto INTEGER NOT NULL DEFAULT 0;
ALTER TABLE topic ADD COLUMN redate_due INTEGER NOT NULL DEFAULT 0;
ALTER TABLE topic ADD COLUMN redate_scheduled INTEGER NOT NULL DEFAULT 0;
ALTER TABLE topic ADD COLUMN redated_upto INTEGER NOT NULL DEFAULT 0;
ALTER TABLE topic ADD COLUMN retry_upto INTEGER NOT NULL DEFAULT 0;
ALTER TABLE topic ADD COLUMN pace_slot INTEGER NOT NULL DEFAULT 0;
ALTER TABLE topic ADD COLUMN pace_count INTEGER NOT NULL DEFAULT 0;
ALTER TABLE topic ADD COLUMN pace_before INTEGER NOT NULL DEFAULT 0;
ALTER TABLE topic ADD COLUMN forgotten INTEGER NOT NULL DEFAULT 0;
ALTER TABLE topic ADD COLUMN forgotten_failed INTEGER NOT NULL DEFAULT 0;
CREATE INDEX topic_redating ON topic (id) WHERE redate_upto > 0;
CREATE INDEX topic_retrying ON topic (id) WHERE retry_upto > 0;

CREATE INDEX batch_topic ON batch (topic);
CREATE INDEX batch_content ON batch (content);
CREATE INDEX batch_due ON batch (due_at);
CREATE INDEX batch_expiry ON batch (expires_at) WHERE expires_at IS NOT NULL AND next <= last;

ALTER TABLE retry ADD COLUMN expires_at INTEGER;
CREATE INDEX retry_expiry ON retry (expires_at) WHERE expires_at IS NOT NULL;

-- A bit for each kind of event a recipient had: it outlives the raw events.
ALTER TABLE recipient ADD COLUMN seen INTEGER NOT NULL DEFAULT 0;
UPDATE recipient SET seen = coalesce((
    SELECT sum(DISTINCT CASE kind
        WHEN 10 THEN 1 WHEN 20 THEN 2 WHEN 30 THEN 4 WHEN 40 THEN 8 WHEN 41 THEN 16 WHEN 42 THEN 32
        WHEN 50 THEN 64 WHEN 1 THEN 128 WHEN 2 THEN 256 WHEN 3 THEN 512 ELSE 0 END)
    FROM result WHERE result.recipient = recipient.id
), 0)
WHERE id IN (SELECT recipient FROM result);
UPDATE recipient SET seen = seen | 128 WHERE id IN (SELECT recipient FROM opening);

-- And bits for harm: 1 << 16 bounced for good, 1 << 17 complained; 18 and 19: SES counts it.
UPDATE recipient SET seen = seen
    | 65536 * EXISTS (
        SELECT 1 FROM result WHERE result.recipient = recipient.id AND kind = 40
            AND subtype LIKE 'Permanent%'
    )
    | 131072 * EXISTS (
        SELECT 1 FROM result WHERE result.recipient = recipient.id AND kind = 50
            AND coalesce(subtype, '') NOT LIKE 'not-spam%'
    )
    | 262144 * EXISTS (
        SELECT 1 FROM result WHERE result.recipient = recipient.id AND kind = 40
            AND subtype LIKE 'Permanent%' AND subtype NOT LIKE '%OnAccountSuppressionList%'
            AND subtype NOT LIKE '%UnsubscribedRecipient%'
    )
    | 524288 * EXISTS (
        SELECT 1 FROM result WHERE result.recipient = recipient.id AND kind = 50
            AND coalesce(subtype, '') NOT LIKE 'not-spam%'
            AND coalesce(subtype, '') NOT LIKE '%OnAccountSuppressionList%'
    )
WHERE feedback >= 40;

DROP INDEX work_due;
CREATE INDEX work_due ON work (urgent, next_due);

CREATE TABLE failure (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    recipient INTEGER NOT NULL UNIQUE,
    topic INTEGER NOT NULL
) STRICT;
CREATE INDEX failure_topic ON failure (topic, number);
INSERT INTO failure (recipient, topic)
SELECT recipient.id, batch.topic FROM recipient JOIN batch ON batch.id = recipient.batch
WHERE recipient.state = 3 ORDER BY recipient.id;

CREATE TABLE suppression (
    email TEXT PRIMARY KEY,
    reason TEXT NOT NULL,
    source TEXT NOT NULL,
    detail TEXT NOT NULL DEFAULT '',
    recipient INTEGER,
    created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT OR IGNORE INTO suppression (email, reason, source, detail, recipient, created_at)
SELECT lower(recipient.email), CASE result.kind WHEN 50 THEN 'complaint' ELSE 'bounce' END, 'event',
    ltrim(coalesce(result.subtype, '') || coalesce(': ' || result.detail, ''), ': '),
    recipient.id, result.at
FROM result JOIN recipient ON recipient.id = result.recipient
WHERE (result.kind = 50 AND coalesce(result.subtype, '') NOT LIKE 'not-spam%'
        OR result.kind = 40 AND result.subtype LIKE 'Permanent%')
    AND recipient.email NOT LIKE '%@simulator.amazonses.com'
ORDER BY result.at;

ALTER TABLE sent_minute ADD COLUMN bounced INTEGER NOT NULL DEFAULT 0;
ALTER TABLE sent_minute ADD COLUMN complained INTEGER NOT NULL DEFAULT 0;
ALTER TABLE sent_hour ADD COLUMN bounced INTEGER NOT NULL DEFAULT 0;
ALTER TABLE sent_hour ADD COLUMN complained INTEGER NOT NULL DEFAULT 0;

CREATE TEMP TABLE harm AS
SELECT sent_at / 60000 AS minute, seen >> 18 & 1 AS bounced, seen >> 19 & 1 AS complained
FROM recipient
WHERE seen >= 262144 AND sent_at IS NOT NULL AND email NOT LIKE '%@simulator.amazonses.com';
UPDATE sent_minute SET bounced = harm.bounced, complained = harm.complained
FROM (
    SELECT minute, sum(bounced) AS bounced, sum(complained) AS complained FROM harm GROUP BY minute
) AS harm WHERE sent_minute.minute = harm.minute;
UPDATE sent_hour SET bounced = harm.bounced, complained = harm.complained
FROM (
    SELECT minute / 60 AS hour, sum(bounced) AS bounced, sum(complained) AS complained
    FROM harm GROUP BY 1
) AS harm WHERE sent_hour.hour = harm.hour;
DROP TABLE harm;

-- rate_wanted is the rate set through the API; bulk mail waits while bulk_paused_at is set; lifted:
-- resumed by hand although the share is still over its limit.
ALTER TABLE account ADD COLUMN rate_wanted REAL;
ALTER TABLE account ADD COLUMN bulk_paused_at INTEGER;
ALTER TABLE account ADD COLUMN bulk_pause_reason TEXT NOT NULL DEFAULT '';
ALTER TABLE account ADD COLUMN bounce_lifted INTEGER NOT NULL DEFAULT 0;
ALTER TABLE account ADD COLUMN complaint_lifted INTEGER NOT NULL DEFAULT 0;

ALTER TABLE ear ADD COLUMN proven_since INTEGER;

-- One row, if any: the newest content, though no batch uses it. Its id must not be given out again
-- (senders know contents by id), so it goes once there is a newer one.
CREATE TABLE spared_content (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    content INTEGER NOT NULL
) STRICT;
