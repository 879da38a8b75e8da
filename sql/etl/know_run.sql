-- Enter a run of which the log alone tells, where it is not entered yet.
INSERT INTO etl.runs (run_id, started_at, status, version)
SELECT $run_id, $started_at, 'running', $version
WHERE NOT EXISTS (FROM etl.runs AS known WHERE known.run_id = $run_id)
