SELECT
    application_name,
    subject_name,
    day,
    sum(inspected)::BIGINT AS inspected,
    sum(defective)::BIGINT AS defective,
    sum(defective) / nullif(sum(inspected), 0) AS defect_rate
FROM mart.defect_rate_daily
GROUP BY ALL
ORDER BY ALL
