-- Files that a medium written by this run no longer offers, or whose medium was refused.
SELECT assets.media_id, assets.asset
FROM neurons.assets AS assets
LEFT JOIN neurons.media AS media USING (media_id)
WHERE (media._run_id = $run_id OR media.media_id IS NULL)
    AND NOT coalesce(json_contains(media.asset_names, to_json(assets.asset)), false)
