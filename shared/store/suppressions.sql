-- Statements of the writer: the suppression list, reputation, the rate set by hand.

-- listed: which of these addresses (lower case) are on the list
SELECT email FROM suppression WHERE email IN (SELECT value FROM carray(?));

-- blocked: which of these recipients have an address that is on the list
SELECT recipient.id FROM recipient
JOIN suppression ON suppression.email = lower(recipient.email)
WHERE recipient.id IN (SELECT value FROM carray(?));

-- add_suppressions: addresses told by a caller, all for the same reason
INSERT OR IGNORE INTO suppression (email, reason, source, detail, created_at)
SELECT value, ?2, 'api', ?3, ?4 FROM carray(?1);

-- add_suppression: an address whose mail bounced for good or led to a complaint
INSERT OR IGNORE INTO suppression (email, reason, source, detail, recipient, created_at)
VALUES (?1, ?2, 'event', ?3, ?4, ?5);

-- drop_suppressions: these addresses are mailed again
DELETE FROM suppression WHERE email IN (SELECT value FROM carray(?));

-- harm_minute: bounced and complained, by minute of sending
INSERT INTO sent_minute (minute, bounced, complained) VALUES (?, ?, ?)
ON CONFLICT (minute) DO UPDATE SET bounced = bounced + excluded.bounced,
    complained = complained + excluded.complained;

-- harm_hour: bounced and complained, by hour of sending
INSERT INTO sent_hour (hour, bounced, complained) VALUES (?, ?, ?)
ON CONFLICT (hour) DO UPDATE SET bounced = bounced + excluded.bounced,
    complained = complained + excluded.complained;

-- reputation_minutes: sent, bounced and complained since a minute
SELECT coalesce(sum(sent), 0), coalesce(sum(bounced), 0), coalesce(sum(complained), 0)
FROM sent_minute WHERE minute >= ?;

-- reputation_hours: sent, bounced and complained since an hour
SELECT coalesce(sum(sent), 0), coalesce(sum(bounced), 0), coalesce(sum(complained), 0)
FROM sent_hour WHERE hour >= ?;

-- set_rate_wanted: the rate set through the API, or none
UPDATE account SET rate_wanted = ?;

-- bulk_lane: whether bulk calls are refused, and whether bulk mail waits
SELECT bulk_refused, bulk_paused_at, bulk_pause_reason, bounce_lifted, complaint_lifted FROM account;

-- set_bulk_refused: SendBulkEmail is not to be had, and why
UPDATE account SET bulk_refused = ?;

-- set_bulk_pause: bulk mail waits, or no longer
UPDATE account SET bulk_paused_at = ?, bulk_pause_reason = ?, bounce_lifted = ?, complaint_lifted = ?;
