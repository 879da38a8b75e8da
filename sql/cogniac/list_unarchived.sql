-- Enter as one gap what a limit left out of the archive: later runs go on with it.
MERGE INTO etl.gaps AS kept
USING (
    SELECT
        'cogniac' AS source,
        'media_files' AS stream,
        'archive' AS key,
        count(*) || ' files in the archive' AS what,
        $now AS since,
        1 AS attempts,
        $now AS next_at,
        CAST($error AS VARCHAR) AS error
    FROM cogniac.media AS media
    CROSS JOIN (SELECT unnest(CAST($sizes AS VARCHAR[])) AS size) AS wanted
    LEFT JOIN cogniac.media_files AS files
        ON files.media_id = media.media_id
        AND files.rendition = wanted.size
    WHERE media.created_at IS NOT NULL
        AND coalesce(files.state = 'missing', TRUE)
    HAVING count(*) > 0
) AS now
ON (kept.source = now.source AND kept.stream = now.stream AND kept.key = now.key)
WHEN MATCHED THEN UPDATE SET what = now.what, error = now.error
WHEN NOT MATCHED THEN INSERT BY NAME
