-- The 40 applications that have a page: those with the most detections in the days of the report.
WITH counted AS (
    SELECT
        detections.application_id,
        max(detections.application_name) FILTER (WHERE trim(detections.application_name) <> '') AS application_name,
        CAST(sum(detections.detections) AS BIGINT) AS detections,
        CAST(
            coalesce(
                sum(detections.detections) FILTER (
                    WHERE detections.day BETWEEN days.first_day AND days.last_day
                ),
                0
            ) AS BIGINT
        ) AS recent,
        CAST(
            coalesce(sum(detections.detections) FILTER (WHERE detections.day < days.first_day), 0) AS BIGINT
        ) AS earlier
    FROM report_detections AS detections
    CROSS JOIN report_days AS days
    GROUP BY detections.application_id
),
placed AS (
    SELECT
        application_id,
        application_name,
        detections,
        earlier,
        row_number() OVER (ORDER BY recent DESC, detections DESC, application_id) AS place,
        count(*) OVER () AS applications
    FROM counted
)
SELECT
    application_id,
    coalesce(application_name, application_id) AS application,
    detections,
    earlier,
    place,
    applications
FROM placed
WHERE place <= 40
