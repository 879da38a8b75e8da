-- Hold something back until somebody confirms it.
MERGE INTO etl.confirmations AS kept
USING (SELECT $source AS source, $what AS what, $held AS held, $of AS held_of) AS now
ON (kept.source = now.source AND kept.what = now.what)
WHEN MATCHED THEN UPDATE SET held = now.held, held_of = now.held_of, confirmed_at = NULL
WHEN NOT MATCHED THEN INSERT BY NAME
