WITH subjects AS (
    SELECT DISTINCT application_id, subject_uid, coalesce(subject_name, subject_uid) AS subject_name
    FROM mart.defect_rate_daily
),
seen AS (
    SELECT application_id, subject_uid, day, sum(defective)::BIGINT AS defective
    FROM mart.defect_rate_daily
    GROUP BY ALL
)
SELECT
    coalesce(coverage.application_name, coverage.application_id) AS application_name,
    subjects.subject_name,
    coverage.day,
    sum(coverage.media)::BIGINT AS inspected,
    coalesce(sum(seen.defective), 0)::BIGINT AS defective,
    coalesce(sum(seen.defective), 0) / sum(coverage.media) AS defect_rate
FROM mart.coverage AS coverage
JOIN subjects USING (application_id)
LEFT JOIN seen
    ON seen.application_id = coverage.application_id
    AND seen.subject_uid = subjects.subject_uid
    AND seen.day = coverage.day
GROUP BY ALL
ORDER BY ALL
