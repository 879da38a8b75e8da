-- Enter how far ranges of time were read, for a later run, should this one be broken off; each list is a column.
MERGE INTO etl.stretches AS kept
USING (
    SELECT
        source,
        stream,
        partition,
        make_timestamptz(start_us) AS start_at,
        make_timestamptz(max(end_us)) AS end_at,
        make_timestamptz(max(newest_us)) AS newest_at
    FROM (
        SELECT
            unnest(CAST($source AS VARCHAR[])) AS source,
            unnest(CAST($stream AS VARCHAR[])) AS stream,
            unnest(CAST($partition AS VARCHAR[])) AS partition,
            unnest(CAST($start_us AS BIGINT[])) AS start_us,
            unnest(CAST($end_us AS BIGINT[])) AS end_us,
            unnest(CAST($newest_us AS BIGINT[])) AS newest_us
    )
    GROUP BY source, stream, partition, start_us
) AS now
ON (
    kept.source = now.source
    AND kept.stream = now.stream
    AND kept.partition = now.partition
    AND kept.start_at = now.start_at
)
WHEN MATCHED THEN UPDATE SET end_at = greatest(kept.end_at, now.end_at), newest_at = greatest(kept.newest_at, now.newest_at)
WHEN NOT MATCHED THEN INSERT BY NAME
