-- 0002: opens of our own pixel stand in the ancestor's email_result too.
DROP VIEW email_result;
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
