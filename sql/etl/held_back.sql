-- What is held back until somebody confirms it.
SELECT
    source,
    what,
    held,
    held_of
FROM etl.confirmations
WHERE held IS NOT NULL AND confirmed_at IS NULL
ORDER BY source, what
