-- Times that cut the results of each application into windows of about a page, in microseconds since 1970.
SELECT
    'detections' AS stream,
    application_id,
    epoch_us(updated_at) AS edge
FROM (
    SELECT
        application_id,
        updated_at,
        row_number() OVER (PARTITION BY application_id ORDER BY updated_at) AS place
    FROM cogniac.results
)
WHERE place % 100 = 0
ORDER BY application_id, edge
