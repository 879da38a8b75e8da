-- The account that a source is bound to, and whether it holds data of others too; no row where it is bound to none.
SELECT
    account,
    is_mixed
FROM etl.accounts
WHERE source = $source
