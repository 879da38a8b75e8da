-- Files that media offer and that are neither stored, whatever became of them, nor named as a gap.
SELECT
    'assets' AS stream,
    'assets' AS table_name,
    named.media_id,
    named.asset
FROM (
    SELECT media_id, unnest(json_extract_string(asset_names, '$[*]')) AS asset
    FROM neurons.media
    WHERE deleted_at IS NULL
) AS named
ANTI JOIN neurons.assets AS assets USING (media_id, asset)
WHERE NOT EXISTS (
    FROM etl.gaps AS gaps
    WHERE gaps.source = 'neurons'
        AND gaps.stream = 'assets'
        AND gaps.key = named.media_id || '/' || named.asset
)
ORDER BY named.media_id, named.asset
