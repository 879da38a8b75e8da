-- How many rows were taken out of a table, for their sums are kept.
SELECT
    'etl.runs' AS name,
    coalesce(sum(runs), 0) AS rows
FROM etl.run_days
WHERE source = ''
UNION ALL
SELECT
    'etl.run_streams' AS name,
    coalesce(sum(runs), 0) AS rows
FROM etl.run_days
WHERE source <> ''
