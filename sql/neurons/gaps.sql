-- What is missing of Neurons: files that could not be loaded, and media whose prediction is not final.
SELECT
    'neurons' AS source,
    'assets' AS stream,
    assets.media_id || '/' || assets.asset AS key,
    assets.state || ' file' AS what,
    assets.error AS error
FROM neurons.assets AS assets
JOIN neurons.media AS media USING (media_id)
WHERE assets.state IN ('missing', 'quarantined')
    AND media.deleted_at IS NULL
UNION ALL
SELECT
    'neurons',
    'assets',
    named.media_id || '/' || named.asset,
    'missing file',
    'it was never asked for'
FROM (
    SELECT media_id, unnest(json_extract_string(asset_names, '$[*]')) AS asset
    FROM neurons.media
    WHERE deleted_at IS NULL AND NOT is_complete
) AS named
ANTI JOIN neurons.assets AS assets USING (media_id, asset)
UNION ALL
SELECT
    'neurons',
    'assets',
    assets.media_id || '/' || assets.asset,
    'picture or film in the archive',
    assets.error
FROM neurons.assets AS assets
JOIN neurons.media AS media USING (media_id)
WHERE assets.state = 'skipped'
    AND assets.error IS NOT NULL
    AND media.deleted_at IS NULL
UNION ALL
SELECT source, stream, key, what, error
FROM etl.gaps
WHERE source = 'neurons'
    AND stream = 'assets'
    AND key = 'archive'
UNION ALL
SELECT
    'neurons',
    'media',
    media_id,
    'final results: the prediction is ' || coalesce(status, 'without a status'),
    NULL
FROM neurons.media
WHERE deleted_at IS NULL
    AND status IS DISTINCT FROM 'done'
    AND status IS DISTINCT FROM 'failed'
UNION ALL
SELECT
    'neurons',
    'media',
    'deletions',
    'whether ' || held || ' of ' || held_of || ' media are deleted: the list has them no more, and none is marked',
    'more than a tenth at once: `sightglass confirm deletions neurons` lets the next run mark them'
FROM etl.confirmations
WHERE source = 'neurons'
    AND what = 'deletions'
    AND held IS NOT NULL
