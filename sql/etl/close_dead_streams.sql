-- Its streams failed with it.
UPDATE etl.run_streams
SET status = 'failed', error = 'the run was killed'
WHERE status = 'running'
