-- The name of the primary key of a table; no row where it has none.
SELECT conname::text
FROM pg_constraint
WHERE conrelid = to_regclass($1::text)
    AND contype = 'p'
