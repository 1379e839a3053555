-- sent: what SES has of a topic
SELECT recipient.id, email, message_id, attempts, sent_at FROM recipient
JOIN batch ON batch.id = recipient.batch JOIN topic ON topic.id = batch.topic
WHERE topic.name = ? AND message_id IS NOT NULL ORDER BY recipient.id;

-- install: who this installation is
SELECT install FROM install;
