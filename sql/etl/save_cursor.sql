-- Move the cursor of a stream.
MERGE INTO etl.cursors AS kept
USING (
    SELECT
        $source AS source,
        $stream AS stream,
        $partition AS partition,
        make_timestamptz(CAST($cursor AS BIGINT)) AS cursor_at,
        CAST($cursor_value AS JSON) AS cursor_value,
        $run_id AS run_id
) AS now
ON (kept.source = now.source AND kept.stream = now.stream AND kept.partition = now.partition)
WHEN MATCHED AND (
    now.cursor_at IS DISTINCT FROM kept.cursor_at
    OR CAST(now.cursor_value AS VARCHAR) IS DISTINCT FROM CAST(kept.cursor_value AS VARCHAR)
) THEN UPDATE SET cursor_at = now.cursor_at, cursor_value = now.cursor_value, run_id = now.run_id
WHEN NOT MATCHED THEN INSERT BY NAME
