-- The run that was entered last.
SELECT run_id
FROM etl.runs
ORDER BY rowid DESC
LIMIT 1
