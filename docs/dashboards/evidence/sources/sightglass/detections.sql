SELECT
    day,
    asserted_by,
    sum(detections)::BIGINT AS detections
FROM mart.detections_daily
GROUP BY ALL
ORDER BY ALL
