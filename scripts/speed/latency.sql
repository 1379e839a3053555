-- make: a scratch table
CREATE TABLE IF NOT EXISTS one (id INTEGER PRIMARY KEY, word TEXT) STRICT;

-- add: a row, and with it a commit
INSERT INTO one (word) VALUES ('a row of little');
