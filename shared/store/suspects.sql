-- Statements of the writer: mail that senders died with.

-- sender_death: when a sender died last, and how many for no reason that is known
SELECT last, unexplained FROM sender_death;

-- set_sender_death: one more
INSERT INTO sender_death (one, last, unexplained) VALUES (1, ?, ?)
ON CONFLICT (one) DO UPDATE SET last = excluded.last, unexplained = excluded.unexplained;

-- suspicions: what is held against these
SELECT recipient, crashes, at, sent_ever, unexplained FROM suspect
WHERE recipient IN (SELECT value FROM carray(?));

-- set_suspicion: what is held against one
INSERT OR REPLACE INTO suspect (recipient, crashes, at, sent_ever, unexplained)
VALUES (?, ?, ?, ?, ?);

-- suspected: those of these that so many crashes or more count against, longest waiting first
SELECT recipient, at FROM suspect
WHERE recipient IN (SELECT value FROM carray(?)) AND crashes >= ? ORDER BY at, recipient;

-- trial: whether one that so many crashes count against is in a sender's hands
SELECT 1 FROM suspect CROSS JOIN recipient ON recipient.id = suspect.recipient
WHERE suspect.crashes >= ? AND recipient.state = 1 LIMIT 1;

-- postpone_retries: these have their turn at this time
UPDATE retry SET due_at = ? WHERE recipient IN (SELECT value FROM carray(?));

-- drop_suspicion: nothing is held against it any more
DELETE FROM suspect WHERE recipient = ?;

-- forget_suspicions: their mail has come to its end
DELETE FROM suspect WHERE NOT EXISTS (
    SELECT 1 FROM recipient WHERE recipient.id = suspect.recipient AND recipient.state IN (0, 1, 5)
);
