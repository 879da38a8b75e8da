-- The 90 days that end with that of the newest detection, and how many detections are dated after the report was made.
-- Those are of a clock that is wrong: none of them moves the days.
WITH made AS (
    SELECT CAST($made_at AT TIME ZONE time_zone AS DATE) AS day
    FROM mart.settings
)
SELECT
    max(detections.day) FILTER (WHERE detections.day <= made.day) - 89 AS first_day,
    max(detections.day) FILTER (WHERE detections.day <= made.day) AS last_day,
    CAST(coalesce(sum(detections.detections) FILTER (WHERE detections.day > made.day), 0) AS BIGINT) AS later
FROM report_detections AS detections
CROSS JOIN made
