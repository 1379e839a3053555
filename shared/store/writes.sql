-- Statements of the writer.

-- nothing: placeholder
SELECT 1;
