-- Enter that somebody confirmed something: it holds for the next run.
MERGE INTO etl.confirmations AS kept
USING (SELECT $source AS source, $what AS what, $now AS confirmed_at) AS now
ON (kept.source = now.source AND kept.what = now.what)
WHEN MATCHED THEN UPDATE SET confirmed_at = now.confirmed_at
WHEN NOT MATCHED THEN INSERT BY NAME
