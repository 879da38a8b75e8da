-- Forget what was held back, and the confirmation that was used.
DELETE FROM etl.confirmations
WHERE source = $source AND what = $what
