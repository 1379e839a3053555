-- The database as it is after every migration; a test compares the two.
-- Times are wall clock milliseconds; *_mono are CLOCK_MONOTONIC seconds of the boot beside them.

-- One row: what makes this installation itself.
CREATE TABLE install (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    install TEXT NOT NULL,              -- stands in every mid tag
    pixel_secret BLOB NOT NULL,         -- signs open-pixel tokens
    created_at INTEGER NOT NULL
) STRICT;

-- A topic and its counters, one column a state; kept by the writer, never counted on request.
CREATE TABLE topic (
    id INTEGER PRIMARY KEY,
    name TEXT UNIQUE,                   -- NULL only for id 1: mail without a topic_id
    cancelled_upto INTEGER NOT NULL DEFAULT 0,  -- batches up to this one are cancelled
    swept_upto INTEGER NOT NULL DEFAULT 0,      -- and up to this one their rows say so
    created INTEGER NOT NULL DEFAULT 0,
    processed INTEGER NOT NULL DEFAULT 0,
    sent INTEGER NOT NULL DEFAULT 0,
    failed INTEGER NOT NULL DEFAULT 0,
    stopped INTEGER NOT NULL DEFAULT 0,
    unknown INTEGER NOT NULL DEFAULT 0,
    suppressed INTEGER NOT NULL DEFAULT 0,
    created_at INTEGER NOT NULL,
    first_sent_at INTEGER,
    last_sent_at INTEGER,
    paused_at INTEGER,                          -- while set, claims and gates let nothing go
    pause_reason TEXT NOT NULL DEFAULT '',
    cancelled_at INTEGER,
    redate_upto INTEGER NOT NULL DEFAULT 0,     -- > 0: batches up to this one get another due time
    redate_due INTEGER NOT NULL DEFAULT 0,
    redate_scheduled INTEGER NOT NULL DEFAULT 0,
    redated_upto INTEGER NOT NULL DEFAULT 0,    -- those up to this one are not sent before redate_due
    retry_upto INTEGER NOT NULL DEFAULT 0,      -- > 0: failures up to this number are tried again
    pace_slot INTEGER NOT NULL DEFAULT 0,       -- ten seconds of sending, counted,
    pace_count INTEGER NOT NULL DEFAULT 0,
    pace_before INTEGER NOT NULL DEFAULT 0,     -- and the ten before
    forgotten INTEGER NOT NULL DEFAULT 0,       -- recipients deleted for their age, counted above
    forgotten_failed INTEGER NOT NULL DEFAULT 0 -- those of them that were Failed
) STRICT;
CREATE INDEX topic_unswept ON topic (id) WHERE swept_upto < cancelled_upto;
CREATE INDEX topic_redating ON topic (id) WHERE redate_upto > 0;
CREATE INDEX topic_retrying ON topic (id) WHERE retry_upto > 0;

-- How many recipients of a topic had at least one event of a kind.
CREATE TABLE topic_result (
    topic INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    recipients INTEGER NOT NULL,
    PRIMARY KEY (topic, kind)
) STRICT, WITHOUT ROWID;

-- A subject and its HTML, once per distinct pair.
CREATE TABLE content (
    id INTEGER PRIMARY KEY,
    digest BLOB NOT NULL UNIQUE,
    subject TEXT NOT NULL,
    html TEXT NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;

-- The recipients of one accepted message: ids first..last; next is the claim's cursor.
CREATE TABLE batch (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    topic INTEGER NOT NULL,
    urgent INTEGER NOT NULL DEFAULT 0,
    content INTEGER NOT NULL,
    headers TEXT NOT NULL DEFAULT '',   -- JSON pairs
    due_at INTEGER NOT NULL,
    scheduled INTEGER NOT NULL DEFAULT 0,
    expires_at INTEGER,
    accepted_at INTEGER NOT NULL,
    first INTEGER NOT NULL,
    next INTEGER NOT NULL,
    last INTEGER NOT NULL
) STRICT;
CREATE INDEX batch_open ON batch (topic, urgent, due_at) WHERE next <= last;
CREATE INDEX batch_topic ON batch (topic);
CREATE INDEX batch_content ON batch (content);
CREATE INDEX batch_due ON batch (due_at);
CREATE INDEX batch_expiry ON batch (expires_at) WHERE expires_at IS NOT NULL AND next <= last;

-- One mail to one address.
CREATE TABLE recipient (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    batch INTEGER NOT NULL,
    email TEXT NOT NULL,
    state INTEGER NOT NULL DEFAULT 0,       -- shared.domain.State
    attempts INTEGER NOT NULL DEFAULT 0,    -- calls let through the gate: the att tag
    refusals INTEGER NOT NULL DEFAULT 0,    -- of these, refused for now
    feedback INTEGER NOT NULL DEFAULT 0,    -- the highest shared.domain.Feedback so far
    flags INTEGER NOT NULL DEFAULT 0,       -- 1 maybe_duplicate, 2 duplicate_suspected
    sent_at INTEGER,
    message_id TEXT,
    code TEXT,
    detail TEXT,
    seen INTEGER NOT NULL DEFAULT 0         -- a bit for each kind of event: shared.domain.SEEN_BITS;
                                            -- from bit 16 up: services/writer/reputation.py
) STRICT;
CREATE INDEX recipient_message_id ON recipient (message_id) WHERE message_id IS NOT NULL;

-- Recipients that were claimed before and wait for another turn.
CREATE TABLE retry (
    recipient INTEGER PRIMARY KEY,
    topic INTEGER NOT NULL,
    urgent INTEGER NOT NULL,
    due_at INTEGER NOT NULL,
    expires_at INTEGER
) STRICT;
CREATE INDEX retry_due ON retry (topic, urgent, due_at);
CREATE INDEX retry_expiry ON retry (expires_at) WHERE expires_at IS NOT NULL;

-- Which topics have mail waiting, and when its first is due: what the digest says.
CREATE TABLE work (
    topic INTEGER NOT NULL,
    urgent INTEGER NOT NULL,
    next_due INTEGER NOT NULL,
    PRIMARY KEY (topic, urgent)
) STRICT, WITHOUT ROWID;
CREATE INDEX work_due ON work (urgent, next_due);

-- One SES call leased to one sender's epoch; gated_at is the recorded attempt.
CREATE TABLE lease (
    job INTEGER PRIMARY KEY AUTOINCREMENT,
    claim INTEGER NOT NULL,
    sender TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    boot TEXT NOT NULL,
    claimed_mono REAL NOT NULL,
    deadline_mono REAL NOT NULL,
    batch INTEGER NOT NULL,
    topic INTEGER NOT NULL,
    urgent INTEGER NOT NULL,
    recipients BLOB NOT NULL,               -- 64-bit little-endian ids
    gated_at INTEGER,
    cancelled INTEGER NOT NULL DEFAULT 0    -- its topic was cancelled while it was in the air
) STRICT;
CREATE INDEX lease_claim ON lease (claim);
CREATE INDEX lease_sender ON lease (sender, epoch);

-- Calls that did not end in acceptance, for a recipient's history.
CREATE TABLE refusal (
    recipient INTEGER NOT NULL,
    at INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    verdict TEXT NOT NULL,
    code TEXT NOT NULL,
    detail TEXT NOT NULL,
    PRIMARY KEY (recipient, at, attempt)
) STRICT, WITHOUT ROWID;

-- Recipients in state Failed, in the order of failing.
CREATE TABLE failure (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    recipient INTEGER NOT NULL UNIQUE,
    topic INTEGER NOT NULL
) STRICT;
CREATE INDEX failure_topic ON failure (topic, number);

-- Recipients in state Unknown: since when, by which job.
CREATE TABLE unknown (
    recipient INTEGER PRIMARY KEY,
    job INTEGER NOT NULL,
    since INTEGER NOT NULL,
    cancelled INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX unknown_since ON unknown (since);
CREATE INDEX unknown_job ON unknown (job);

-- Every event of a recipient; the key makes SNS's repeats count once.
CREATE TABLE result (
    recipient INTEGER NOT NULL,
    kind INTEGER NOT NULL,              -- shared.domain.Feedback
    at INTEGER NOT NULL,
    subtype TEXT,
    detail TEXT,
    PRIMARY KEY (recipient, kind, at)
) STRICT, WITHOUT ROWID;

-- Opens by our own pixel and by SES's.
CREATE TABLE opening (
    recipient INTEGER PRIMARY KEY,
    first_at INTEGER NOT NULL,
    last_at INTEGER NOT NULL,
    hits INTEGER NOT NULL
) STRICT;

-- Addresses that are not mailed any more, in lower case.
CREATE TABLE suppression (
    email TEXT PRIMARY KEY,
    reason TEXT NOT NULL,               -- bounce, complaint, or the caller's word
    source TEXT NOT NULL,               -- event or api
    detail TEXT NOT NULL DEFAULT '',
    recipient INTEGER,                  -- whose event it was
    created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Verified events that belong to no recipient we know (yet), newest few thousand.
CREATE TABLE orphan (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    message_id TEXT NOT NULL,
    event BLOB NOT NULL,                -- msgpack of shared.protocol.Event, or a note
    seen_at INTEGER NOT NULL
) STRICT;
CREATE INDEX orphan_message_id ON orphan (message_id);

-- Sent mail by minute and hour of sending; of these: heard = had an event, bounced (for good) and
-- complained as SES counts them.
CREATE TABLE sent_minute (
    minute INTEGER PRIMARY KEY,
    sent INTEGER NOT NULL DEFAULT 0,
    heard INTEGER NOT NULL DEFAULT 0,
    bounced INTEGER NOT NULL DEFAULT 0,
    complained INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE TABLE sent_hour (
    hour INTEGER PRIMARY KEY,
    sent INTEGER NOT NULL DEFAULT 0,
    bounced INTEGER NOT NULL DEFAULT 0,
    complained INTEGER NOT NULL DEFAULT 0
) STRICT;

-- Answers given, so that a repeat of a submission or an order gets the same one; kept a day.
CREATE TABLE answered (
    id TEXT PRIMARY KEY,
    answer BLOB NOT NULL,               -- msgpack of the message
    created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX answered_age ON answered (created_at);

-- Idempotency keys of the last day.
CREATE TABLE idempotency (
    key BLOB PRIMARY KEY,
    body BLOB NOT NULL,
    submission TEXT NOT NULL,
    created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX idempotency_age ON idempotency (created_at);

-- The newest numbered batch of each source that is applied (pixel opens).
CREATE TABLE applied (
    source TEXT PRIMARY KEY,
    epoch INTEGER NOT NULL,
    seq INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- One row: what GetAccount said, what holds all sending, what was sent in all.
CREATE TABLE account (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    max_rate REAL,
    quota REAL,
    sent_24h INTEGER NOT NULL DEFAULT 0,
    sent_ever INTEGER NOT NULL DEFAULT 0,
    sent_ever_at_read INTEGER NOT NULL DEFAULT 0,
    read_at INTEGER,
    sandbox INTEGER,
    sending_enabled INTEGER,
    enforcement TEXT NOT NULL DEFAULT '',
    read_error TEXT NOT NULL DEFAULT '',
    bulk_refused TEXT NOT NULL DEFAULT '',
    hold_reason TEXT NOT NULL DEFAULT '',
    hold_detail TEXT NOT NULL DEFAULT '',
    hold_since INTEGER NOT NULL DEFAULT 0,
    hold_failures INTEGER NOT NULL DEFAULT 0,
    probe_at INTEGER NOT NULL DEFAULT 0,
    rate_wanted REAL,                   -- the rate set through the API
    bulk_paused_at INTEGER,             -- while set, bulk mail waits
    bulk_pause_reason TEXT NOT NULL DEFAULT '',
    bounce_lifted INTEGER NOT NULL DEFAULT 0,    -- resumed by hand though still over the limit
    complaint_lifted INTEGER NOT NULL DEFAULT 0
) STRICT;

-- One row: the webhook was up without a gap from since to last.
CREATE TABLE ear (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    since INTEGER NOT NULL,
    last INTEGER NOT NULL,
    proven_since INTEGER                -- since when events are known to arrive
) STRICT;

-- One row, if any: the newest content, though no batch uses it. Its id must not be given out again
-- (senders know contents by id), so it goes once there is a newer one.
CREATE TABLE spared_content (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    content INTEGER NOT NULL
) STRICT;

-- Recipients a sender had in hand when it died, until their mail has come to its end.
CREATE TABLE suspect (
    recipient INTEGER PRIMARY KEY,
    crashes INTEGER NOT NULL,           -- those that count against it
    at INTEGER NOT NULL,                -- the newest, counted or not
    sent_ever INTEGER NOT NULL,         -- account.sent_ever then
    unexplained INTEGER NOT NULL        -- sender_death.unexplained then
) STRICT;

-- One row, if any sender ever died with mail in hand: when the last one did; and how many had none
-- in hand that is tried alone, so that something else must have killed them.
CREATE TABLE sender_death (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    last INTEGER NOT NULL,
    unexplained INTEGER NOT NULL
) STRICT;

-- The ancestor's tables, by its names and columns.
CREATE VIEW email_content AS
SELECT id, subject, html AS content, datetime(created_at / 1000, 'unixepoch') AS created_at
FROM content;

CREATE VIEW email_request AS
SELECT
    recipient.id AS id,
    topic.name AS topic_id,
    recipient.email AS email,
    batch.content AS content_id,
    CASE
        WHEN recipient.state = 0
            AND batch.id <= topic.cancelled_upto
            AND batch.id > topic.swept_upto THEN 'Stopped'
        ELSE CASE recipient.state
            WHEN 0 THEN 'Created' WHEN 1 THEN 'Processed' WHEN 2 THEN 'Sent' WHEN 3 THEN 'Failed'
            WHEN 4 THEN 'Stopped' WHEN 5 THEN 'Unknown' ELSE 'Suppressed' END
    END AS status,
    recipient.code AS status_code,
    recipient.message_id AS message_id,
    CASE WHEN batch.scheduled THEN datetime(batch.due_at / 1000, 'unixepoch') END AS scheduled_at,
    datetime(batch.accepted_at / 1000, 'unixepoch') AS created_at
FROM recipient
JOIN batch ON batch.id = recipient.batch
JOIN topic ON topic.id = batch.topic;

CREATE VIEW email_result AS
SELECT
    result.recipient || '-' || result.kind || '-' || result.at AS id,
    result.recipient AS request_id,
    CASE result.kind
        WHEN 1 THEN 'Open' WHEN 2 THEN 'Click' WHEN 3 THEN 'Subscription' WHEN 10 THEN 'Send'
        WHEN 20 THEN 'DeliveryDelay' WHEN 30 THEN 'Delivery' WHEN 40 THEN 'Bounce'
        WHEN 41 THEN 'Reject' WHEN 42 THEN 'Rendering Failure' WHEN 50 THEN 'Complaint'
    END AS result_type,
    CASE WHEN result.kind = 40 THEN result.subtype END AS bounce_type,
    datetime(result.at / 1000, 'unixepoch') AS created_at
FROM result
UNION ALL
SELECT
    opening.recipient || '-1-' || opening.first_at,
    opening.recipient,
    'Open',
    NULL,
    datetime(opening.first_at / 1000, 'unixepoch')
FROM opening
WHERE NOT EXISTS (
    SELECT 1 FROM result WHERE result.recipient = opening.recipient AND result.kind = 1
);
