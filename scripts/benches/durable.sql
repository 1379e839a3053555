-- events: what makes each stored event this one
SELECT recipient, kind, at FROM result;

-- paused: topics of which nothing may go
SELECT name FROM topic WHERE paused_at > 0;

-- rate: R as it was set by an order
SELECT rate_wanted FROM account;
