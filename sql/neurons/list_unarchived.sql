-- Enter as one gap what a limit left out of the archive: later runs go on with it.
MERGE INTO etl.gaps AS kept
USING (
    SELECT
        'neurons' AS source,
        'assets' AS stream,
        'archive' AS key,
        count(*) || ' pictures and films in the archive' AS what,
        $now AS since,
        1 AS attempts,
        $now AS next_at,
        CAST($error AS VARCHAR) AS error
    FROM neurons.assets AS assets
    JOIN neurons.media AS media USING (media_id)
    WHERE assets.state = 'skipped'
        AND media.deleted_at IS NULL
        AND (CAST($all_wanted AS BOOLEAN) OR list_contains(CAST($wanted AS VARCHAR[]), assets.asset))
    HAVING count(*) > 0
) AS now
ON (kept.source = now.source AND kept.stream = now.stream AND kept.key = now.key)
WHEN MATCHED THEN UPDATE SET what = now.what, error = now.error
WHEN NOT MATCHED THEN INSERT BY NAME
