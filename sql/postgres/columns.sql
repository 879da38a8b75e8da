-- The columns of a table as they are here, with their types.
SELECT
    attname::text,
    format_type(atttypid, atttypmod)
FROM pg_attribute
WHERE attrelid = to_regclass($1::text)
    AND attnum > 0
    AND NOT attisdropped
