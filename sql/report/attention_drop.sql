-- At which second of the latest videos does attention fall most?
WITH latest AS (
    SELECT media_id
    FROM neurons.media
    WHERE deleted_at IS NULL
        AND media_id IN (SELECT media_id FROM neurons.frame_metrics)
    ORDER BY
        created_at DESC,
        media_id
    LIMIT 50
)
SELECT
    drops.media_id,
    drops.asset,
    drops.second,
    drops.focus_before,
    drops.focus_after,
    drops.videos_left_out
FROM mart.attention_drop AS drops
JOIN latest ON latest.media_id = drops.media_id
ORDER BY
    drops.media_id,
    drops.asset DESC
