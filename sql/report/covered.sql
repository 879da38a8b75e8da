-- What does this report cover?
WITH seen AS (
    SELECT
        count(*) AS detections,
        count(DISTINCT application_id) AS applications,
        min(coalesce(created_at, updated_at)) AS first_detection_at,
        max(coalesce(created_at, updated_at)) AS last_detection_at
    FROM cogniac.detections
),
predicted AS (
    SELECT
        count(*) FILTER (WHERE type = 'image') AS images,
        count(*) FILTER (WHERE type = 'video') AS videos,
        min(created_at) AS first_media_at,
        max(created_at) AS last_media_at
    FROM neurons.media
    WHERE deleted_at IS NULL
)
SELECT
    seen.detections,
    seen.applications,
    seen.first_detection_at,
    seen.last_detection_at,
    predicted.images,
    predicted.videos,
    predicted.first_media_at,
    predicted.last_media_at
FROM seen
CROSS JOIN predicted
