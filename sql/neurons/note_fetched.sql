-- Files that were fetched once more: of those that are the same as before, nothing else says when that was.
UPDATE neurons.assets AS assets
SET
    fetched_at = again.fetched_at,
    _run_id = $run_id,
    _loaded_at = $now
FROM (
    SELECT
        unnest(CAST($ids AS VARCHAR[])) AS media_id,
        unnest(CAST($assets AS VARCHAR[])) AS asset,
        make_timestamptz(CAST($at_us AS BIGINT)) AS fetched_at
) AS again
WHERE assets.media_id = again.media_id
    AND assets.asset = again.asset
    AND assets.state IN ('loaded', 'archived')
    AND assets.fetched_at < again.fetched_at
