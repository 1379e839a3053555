-- Statements of the readers.

-- topic_id: a topic's id
SELECT id FROM topic WHERE name = ?;

-- topics: topics from an id downwards: counters in the order of shared.domain.State, times, queue
SELECT id, name, created, processed, sent, failed, stopped, unknown, suppressed,
    created_at, first_sent_at, last_sent_at, paused_at, pause_reason, cancelled_at,
    -- Was mail accepted after the cancel; if all is deleted for its age, nobody knows.
    coalesce((SELECT max(batch.id) > cancelled_upto FROM batch WHERE batch.topic = topic.id), 1),
    pace_slot, pace_count, pace_before,
    redate_upto > 0, redate_due,
    (SELECT min(next_due) FROM work WHERE work.topic = topic.id),
    -- When the first of the bulk mail never claimed is due, and of the urgent; cancelled batches
    -- whose rows do not say so yet may lie before it, but a look at all of them could be long.
    (SELECT min(due_at) FROM (
        SELECT batch.id, due_at FROM batch
        WHERE batch.topic = topic.id AND urgent = 0 AND next <= last ORDER BY due_at LIMIT 50
    ) AS open WHERE open.id > cancelled_upto),
    (SELECT min(due_at) FROM (
        SELECT batch.id, due_at FROM batch
        WHERE batch.topic = topic.id AND urgent = 1 AND next <= last ORDER BY due_at LIMIT 50
    ) AS open WHERE open.id > cancelled_upto),
    -- The same of what waits for another turn.
    (SELECT due_at FROM retry
        WHERE retry.topic = topic.id AND urgent = 0 ORDER BY due_at LIMIT 1),
    (SELECT due_at FROM retry
        WHERE retry.topic = topic.id AND urgent = 1 ORDER BY due_at LIMIT 1),
    -- When the last is due.
    max(
        coalesce((SELECT due_at FROM batch WHERE batch.topic = topic.id AND urgent = 0
            AND next <= last ORDER BY due_at DESC LIMIT 1), 0),
        coalesce((SELECT due_at FROM batch WHERE batch.topic = topic.id AND urgent = 1
            AND next <= last ORDER BY due_at DESC LIMIT 1), 0)
    ),
    max(
        coalesce((SELECT due_at FROM retry WHERE retry.topic = topic.id AND urgent = 0
            ORDER BY due_at DESC LIMIT 1), 0),
        coalesce((SELECT due_at FROM retry WHERE retry.topic = topic.id AND urgent = 1
            ORDER BY due_at DESC LIMIT 1), 0)
    )
FROM topic WHERE id <= ? ORDER BY id DESC LIMIT ?;

-- topic_results: how many recipients of a topic had an event of each kind
SELECT kind, recipients FROM topic_result WHERE topic = ?;

-- sent_since: minutes of the oldest part hour, and the whole hours since
SELECT
    (SELECT coalesce(sum(sent), 0) FROM sent_minute WHERE minute >= ?1 AND minute < ?2)
    + (SELECT coalesce(sum(sent), 0) FROM sent_hour WHERE hour >= ?3);

-- answered: what a submission or an order was answered with
SELECT answer FROM answered WHERE id = ?;

-- install: who this installation is
SELECT install, pixel_secret FROM install;
