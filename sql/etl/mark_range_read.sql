-- Enter how far a range of time was read, for a later run, should this one be broken off.
MERGE INTO etl.stretches AS kept
USING (
    SELECT
        $source AS source,
        $stream AS stream,
        $partition AS partition,
        make_timestamptz(CAST($start_us AS BIGINT)) AS start_at,
        make_timestamptz(CAST($end_us AS BIGINT)) AS end_at,
        make_timestamptz(CAST($newest_us AS BIGINT)) AS newest_at
) AS now
ON (
    kept.source = now.source
    AND kept.stream = now.stream
    AND kept.partition = now.partition
    AND kept.start_at = now.start_at
)
WHEN MATCHED THEN UPDATE SET end_at = greatest(kept.end_at, now.end_at), newest_at = greatest(kept.newest_at, now.newest_at)
WHEN NOT MATCHED THEN INSERT BY NAME
