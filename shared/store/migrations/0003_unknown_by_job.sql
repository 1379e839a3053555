-- 0003: a late outcome finds whom its job left unknown.
CREATE INDEX unknown_job ON unknown (job);
