-- Enter the gaps that are new, and count another attempt for those that are not.
MERGE INTO etl.gaps AS kept
USING missing AS now
ON (kept.source = now.source AND kept.stream = now.stream AND kept.key = now.key)
WHEN MATCHED THEN UPDATE SET what = now.what, attempts = kept.attempts + 1, error = now.error
WHEN NOT MATCHED THEN INSERT (source, stream, key, what, since, attempts, error)
    VALUES (now.source, now.stream, now.key, now.what, $since, 1, now.error)
