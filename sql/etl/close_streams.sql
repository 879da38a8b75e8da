-- Streams of a run that ended before they did.
UPDATE etl.run_streams
SET status = 'failed', error = 'the run was stopped'
WHERE run_id = $run_id
    AND status = 'running'
