-- Statements of the readers.

-- topic: a topic's id and its counters, in the order of shared.domain.State
SELECT id, created, processed, sent, failed, stopped, unknown, suppressed
FROM topic WHERE name = ?;

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
