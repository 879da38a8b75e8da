-- To which account each source is bound.
SELECT
    source,
    account
FROM etl.accounts
