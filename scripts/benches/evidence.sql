-- install: this installation's name in every mid tag
SELECT install FROM install;

-- mails: every recipient, as email_request tells its state
SELECT
    recipient.id, coalesce(topic.name, ''), recipient.email, email_request.status,
    recipient.attempts, recipient.feedback, recipient.flags, coalesce(recipient.message_id, ''),
    coalesce(recipient.code, ''), recipient.seen, unknown.since
FROM recipient
JOIN batch ON batch.id = recipient.batch
JOIN topic ON topic.id = batch.topic
JOIN email_request ON email_request.id = recipient.id
LEFT JOIN unknown ON unknown.recipient = recipient.id
ORDER BY recipient.id;

-- topics: the counters, in the order of State
SELECT coalesce(name, ''), created, processed, sent, failed, stopped, unknown, suppressed FROM topic;

-- kinds: recipients with at least one event of a kind
SELECT coalesce(topic.name, ''), kind, recipients FROM topic_result
JOIN topic ON topic.id = topic_result.topic WHERE recipients > 0;

-- sums: mail by minute, heard of by minute, by hour, ever
SELECT
    (SELECT coalesce(sum(sent), 0) FROM sent_minute),
    (SELECT coalesce(sum(heard), 0) FROM sent_minute),
    (SELECT coalesce(sum(sent), 0) FROM sent_hour),
    (SELECT coalesce(sum(sent_ever), 0) FROM account);

-- results: stored events by recipient and kind
SELECT recipient, kind, count(*) FROM result GROUP BY recipient, kind;

-- left: leases, retries and open batches of topics that are not cancelled, and the ear
SELECT
    (SELECT count(*) FROM lease),
    (SELECT count(*) FROM retry),
    (SELECT count(*) FROM batch WHERE next <= last),
    (SELECT coalesce(max(since), 0) FROM ear);

-- integrity: what SQLite finds wrong with the file, or ok
PRAGMA integrity_check(1);

-- waiting: recipients that are neither ended nor Sent, those of them Unknown, leases
SELECT
    (SELECT coalesce(sum(created + processed), 0) FROM topic),
    (SELECT coalesce(sum(unknown), 0) FROM topic),
    (SELECT count(*) FROM lease);

-- sent: how many are Sent
SELECT coalesce(sum(sent), 0) FROM topic;

-- heard: how many events there are
SELECT count(*) FROM result;

-- stored: how many recipients there are
SELECT coalesce(sum(created + processed + sent + failed + stopped + unknown + suppressed), 0)
FROM topic;

-- held: Unknown mails of before the webhook's last gap
SELECT recipient FROM unknown WHERE since < (SELECT max(since) FROM ear);
