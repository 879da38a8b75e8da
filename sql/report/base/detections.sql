-- How many detections there are, by application, subject and day, as mart.detections_daily counts them.
SELECT
    application_id,
    application_name,
    subject_uid,
    subject_name,
    day,
    asserted_by = 'model' AS is_model,
    threshold,
    CAST(sum(detections) AS BIGINT) AS detections,
    CAST(sum(above_threshold) AS BIGINT) AS above_threshold
FROM mart.detections_daily
GROUP BY
    application_id,
    application_name,
    subject_uid,
    subject_name,
    day,
    asserted_by = 'model',
    threshold
