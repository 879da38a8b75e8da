-- A medium is complete when its state is final and every file with rows in it is loaded.
UPDATE neurons.media AS media
SET is_complete = judged.is_complete
FROM (
    SELECT
        media.media_id,
        coalesce(media.status IN ('done', 'failed'), false)
            AND json_array_length(media.asset_names) = count(assets.asset)
                FILTER (WHERE assets.state IN ('loaded', 'archived', 'skipped'))
            AS is_complete
    FROM neurons.media AS media
    LEFT JOIN neurons.assets AS assets USING (media_id)
    WHERE media._run_id = $run_id
        OR media.media_id IN (SELECT media_id FROM neurons.assets WHERE _run_id = $run_id)
    GROUP BY media.media_id, media.status, media.asset_names
) AS judged
WHERE media.media_id = judged.media_id
    AND media.is_complete IS DISTINCT FROM judged.is_complete
