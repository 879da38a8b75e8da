-- Move the cursors of streams, each list a column; what has none does not move.
MERGE INTO etl.cursors AS kept
USING (
    SELECT *
    FROM (
        SELECT
            unnest(CAST($source AS VARCHAR[])) AS source,
            unnest(CAST($stream AS VARCHAR[])) AS stream,
            unnest(CAST($partition AS VARCHAR[])) AS partition,
            make_timestamptz(unnest(CAST($cursor AS BIGINT[]))) AS cursor_at,
            unnest(CAST($cursor_value AS JSON[])) AS cursor_value,
            $run_id AS run_id
    )
    WHERE cursor_at IS NOT NULL OR cursor_value IS NOT NULL
) AS now
ON (kept.source = now.source AND kept.stream = now.stream AND kept.partition = now.partition)
WHEN MATCHED AND (
    now.cursor_at IS DISTINCT FROM kept.cursor_at
    OR CAST(now.cursor_value AS VARCHAR) IS DISTINCT FROM CAST(kept.cursor_value AS VARCHAR)
) THEN UPDATE SET cursor_at = now.cursor_at, cursor_value = now.cursor_value, run_id = now.run_id
WHEN NOT MATCHED THEN INSERT BY NAME
