-- More records share one time than either end of the list shows: the API gives no way to read those between.
MERGE INTO etl.gaps AS kept
USING (
    SELECT
        'cogniac' AS source,
        'detections' AS stream,
        $application_id || ' at ' || $microseconds AS key,
        'records that share the time ' || make_timestamp(CAST($microseconds AS BIGINT)) || ' UTC' AS what,
        $now AS since,
        1 AS attempts,
        $now AS next_at,
        'the paging of the API skips records that share one time' AS error
) AS now
ON (kept.source = now.source AND kept.stream = now.stream AND kept.key = now.key)
WHEN NOT MATCHED THEN INSERT BY NAME
