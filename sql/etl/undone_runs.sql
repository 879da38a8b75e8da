-- The runs that were undone.
SELECT run_id
FROM etl.runs
WHERE status = 'undone'
