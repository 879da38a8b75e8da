-- How many detections were made each day, by application?
-- Covers the 90 days that end with the newest detection, and the applications that have a page; all others are added up, under no id.
SELECT
    pages.application_id,
    detections.day,
    CAST(sum(detections.detections) AS BIGINT) AS detections
FROM report_detections AS detections
JOIN report_days AS days ON detections.day BETWEEN days.first_day AND days.last_day
LEFT JOIN report_applications AS pages ON pages.application_id = detections.application_id
GROUP BY
    pages.application_id,
    pages.place,
    detections.day
ORDER BY
    pages.place NULLS LAST,
    detections.day
