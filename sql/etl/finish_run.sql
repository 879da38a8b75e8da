-- Enter how a run ended.
UPDATE etl.runs
SET finished_at = $finished_at, status = $status, exit_code = $exit_code, unknown = $unknown
WHERE run_id = $run_id
