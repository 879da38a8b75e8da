-- What is stored of these media: their states, their last change, and the files that need not be fetched again.
SELECT
    media.media_id,
    media.status,
    media.aoi_status,
    epoch_us(media.updated_at) AS updated_us,
    coalesce(
        list(assets.asset) FILTER (WHERE assets.state IN ('loaded', 'archived', 'skipped')),
        []
    ) AS settled
FROM neurons.media AS media
LEFT JOIN neurons.assets AS assets USING (media_id)
WHERE media.media_id IN (SELECT unnest(CAST($ids AS VARCHAR[])))
GROUP BY ALL
