-- What is held back of a source until somebody confirms it, and whether somebody has.
SELECT
    held,
    confirmed_at IS NOT NULL AS is_confirmed
FROM etl.confirmations
WHERE source = $source AND what = $what
