-- 0004: steering topics, expiry, the suppression list, reputation, retention.

-- A paused topic lets nothing go; redate_upto > 0 while its batches are given another due time;
-- failures up to retry_upto go back to the queue; pace_* is what was sent in ten-second slots.
ALTER TABLE topic ADD COLUMN paused_at INTEGER;
ALTER TABLE topic ADD COLUMN pause_reason TEXT NOT NULL DEFAULT '';
ALTER TABLE topic ADD COLUMN cancelled_at INTEGER;
ALTER TABLE topic ADD COLUMN redate_upto INTEGER NOT NULL DEFAULT 0;
ALTER TABLE topic ADD COLUMN redate_due INTEGER NOT NULL DEFAULT 0;
ALTER TABLE topic ADD COLUMN redate_scheduled INTEGER NOT NULL DEFAULT 0;
ALTER TABLE topic ADD COLUMN retry_upto INTEGER NOT NULL DEFAULT 0;
ALTER TABLE topic ADD COLUMN pace_slot INTEGER NOT NULL DEFAULT 0;
ALTER TABLE topic ADD COLUMN pace_count INTEGER NOT NULL DEFAULT 0;
ALTER TABLE topic ADD COLUMN pace_before INTEGER NOT NULL DEFAULT 0;
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
    coalesce(result.subtype, ''), recipient.id, result.at
FROM result JOIN recipient ON recipient.id = result.recipient
WHERE (result.kind = 50 AND coalesce(result.subtype, '') NOT LIKE 'not-spam%'
        OR result.kind = 40 AND result.subtype LIKE 'Permanent%')
    AND recipient.email NOT LIKE '%@simulator.amazonses.com'
ORDER BY result.at;

ALTER TABLE sent_minute ADD COLUMN bounced INTEGER NOT NULL DEFAULT 0;
ALTER TABLE sent_minute ADD COLUMN complained INTEGER NOT NULL DEFAULT 0;
ALTER TABLE sent_hour ADD COLUMN bounced INTEGER NOT NULL DEFAULT 0;
ALTER TABLE sent_hour ADD COLUMN complained INTEGER NOT NULL DEFAULT 0;

-- rate_wanted is the rate set through the API; bulk mail waits while bulk_paused_at is set; lifted:
-- resumed by hand although the share is still over its limit.
ALTER TABLE account ADD COLUMN rate_wanted REAL;
ALTER TABLE account ADD COLUMN bulk_paused_at INTEGER;
ALTER TABLE account ADD COLUMN bulk_pause_reason TEXT NOT NULL DEFAULT '';
ALTER TABLE account ADD COLUMN bounce_lifted INTEGER NOT NULL DEFAULT 0;
ALTER TABLE account ADD COLUMN complaint_lifted INTEGER NOT NULL DEFAULT 0;

ALTER TABLE ear ADD COLUMN proven_since INTEGER;

-- One row: up to where, in the order of due times, raw events are gone.
CREATE TABLE retention (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    pruned_due INTEGER NOT NULL,
    pruned_batch INTEGER NOT NULL
) STRICT;
