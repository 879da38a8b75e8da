-- The account that a source is bound to; no row where it is bound to none.
SELECT account
FROM etl.accounts
WHERE source = $source
