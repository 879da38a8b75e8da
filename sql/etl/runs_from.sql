-- A run and those entered after it that are not undone, in their order. By their times it would be another order where a
-- clock was set back.
SELECT
    runs.run_id,
    runs.status
FROM etl.runs AS runs
WHERE runs.rowid >= (SELECT first.rowid FROM etl.runs AS first WHERE first.run_id = $run_id)
    AND (runs.status <> 'undone' OR runs.run_id = $run_id)
ORDER BY runs.rowid
