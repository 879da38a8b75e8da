-- Enter a run that begins.
INSERT INTO etl.runs (run_id, started_at, status, version, command)
VALUES ($run_id, $started_at, 'running', $version, $command)
