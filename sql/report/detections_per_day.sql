-- How many detections were made each day, by application?
-- Covers the 90 days that end with the newest detection, and the 12 applications with the most detections in them; all others are added up, under no id.
WITH daily AS (
    SELECT
        application_id,
        application_name,
        day,
        CAST(sum(detections) AS BIGINT) AS detections
    FROM mart.detections_daily
    GROUP BY
        application_id,
        application_name,
        day
),
recent AS (
    SELECT
        application_id,
        application_name,
        day,
        detections
    FROM daily
    WHERE day > (SELECT max(day) - 90 FROM daily)
),
ranked AS (
    SELECT
        application_id,
        row_number() OVER (ORDER BY sum(detections) DESC, application_id) AS place,
        count(*) OVER () AS applications
    FROM recent
    GROUP BY application_id
),
shown AS (
    SELECT
        CASE WHEN ranked.place <= 12 THEN ranked.application_id END AS application_id,
        CASE
            WHEN ranked.place <= 12 THEN coalesce(recent.application_name, ranked.application_id)
        END AS application,
        least(ranked.place, 13) AS place,
        ranked.applications,
        recent.day,
        recent.detections
    FROM recent
    JOIN ranked ON ranked.application_id = recent.application_id
)
SELECT
    application_id,
    application,
    day,
    CAST(sum(detections) AS BIGINT) AS detections,
    applications
FROM shown
GROUP BY
    application_id,
    application,
    place,
    applications,
    day
ORDER BY
    place,
    day
