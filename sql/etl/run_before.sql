-- On what day the run before this one began; no row where there was none. The one before is the one entered before.
SELECT CAST(runs.started_at AS DATE)
FROM etl.runs AS runs
WHERE runs.run_id <> $run_id
ORDER BY runs.rowid DESC
LIMIT 1
