-- Enter the last part of the log of a source that is applied.
MERGE INTO etl.log AS kept
USING (SELECT $source AS source, $number AS applied, $run_id AS run_id) AS now
ON (kept.source = now.source)
WHEN MATCHED THEN UPDATE SET applied = now.applied, run_id = now.run_id
WHEN NOT MATCHED THEN INSERT BY NAME
