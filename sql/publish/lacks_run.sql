-- Whether a run was never entered.
SELECT NOT EXISTS (FROM etl.runs WHERE run_id = $run_id)
