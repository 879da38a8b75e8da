-- Enter the gaps that are new, and count another attempt for those whose time had come.
-- The pause doubles with each attempt, from none after the first to a day. One that is longer was set by a clock
-- that was ahead, and is over.
MERGE INTO etl.gaps AS kept
USING missing AS now
ON (kept.source = now.source AND kept.stream = now.stream AND kept.key = now.key)
WHEN MATCHED AND (kept.next_at <= $since OR kept.next_at > $since + INTERVAL 1 DAY) THEN UPDATE SET
    what = now.what,
    error = now.error,
    attempts = kept.attempts + 1,
    next_at = $since + to_minutes(CAST(least(1440, 5 * power(2, kept.attempts)) AS BIGINT))
WHEN NOT MATCHED THEN INSERT (source, stream, key, what, since, attempts, next_at, error)
    VALUES (now.source, now.stream, now.key, now.what, $since, 1, $since, now.error)
