-- The 50 videos that have a page: those handed in last that have metrics per frame.
WITH placed AS (
    SELECT
        media_id,
        name,
        created_at,
        row_number() OVER (ORDER BY created_at DESC NULLS LAST, media_id) AS place,
        count(*) OVER () AS videos
    FROM neurons.media
    WHERE deleted_at IS NULL
        AND media_id IN (SELECT media_id FROM neurons.frame_metrics)
)
SELECT
    media_id,
    coalesce(name, media_id) AS video,
    created_at,
    place,
    videos
FROM placed
WHERE place <= 50
