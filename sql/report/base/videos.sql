-- The 50 videos that have a page: those handed in last that have metrics per frame.
-- One that is dated after the report was made, by a clock that is wrong, comes after those that are not.
WITH placed AS (
    SELECT
        media_id,
        CASE WHEN trim(name) <> '' THEN name END AS name,
        created_at,
        row_number() OVER (
            ORDER BY CASE WHEN created_at <= $made_at THEN created_at END DESC NULLS LAST, media_id
        ) AS place,
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
