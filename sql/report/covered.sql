-- What does this report cover?
-- Detections that are dated after the report was made, by a clock that is wrong, are counted in `later` and move no day; those from before its 90 days in `earlier`. Media that are dated so are counted, and move no time.
WITH seen AS (
    SELECT
        CAST(coalesce(sum(detections.detections), 0) AS BIGINT) AS detections,
        count(DISTINCT detections.application_id) AS applications,
        min(detections.day) AS first_day,
        max(days.last_day) AS last_day,
        max(days.later) AS later,
        CAST(
            coalesce(sum(detections.detections) FILTER (WHERE detections.day < days.first_day), 0) AS BIGINT
        ) AS earlier
    FROM report_detections AS detections
    CROSS JOIN report_days AS days
),
predicted AS (
    SELECT
        count(*) AS media,
        count(*) FILTER (WHERE type = 'image') AS images,
        count(*) FILTER (WHERE type = 'video') AS videos,
        min(created_at) FILTER (WHERE created_at <= $made_at) AS first_media_at,
        max(created_at) FILTER (WHERE created_at <= $made_at) AS last_media_at
    FROM neurons.media
    WHERE deleted_at IS NULL
)
SELECT
    seen.detections,
    seen.applications,
    seen.first_day,
    seen.last_day,
    seen.later,
    seen.earlier,
    predicted.media,
    predicted.images,
    predicted.videos,
    predicted.first_media_at,
    predicted.last_media_at
FROM seen
CROSS JOIN predicted
