-- 0005: mail that senders died with.

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
