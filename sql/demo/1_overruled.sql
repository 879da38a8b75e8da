-- Where do people overrule the model most?
SELECT
    coalesce(subject_name, subject_uid) AS subject,
    CAST(sum(reviewed) AS BIGINT) AS reviewed,
    CAST(sum(wrongly_seen) AS BIGINT) AS wrongly_seen,
    CAST(sum(overlooked) AS BIGINT) AS overlooked,
    CAST(sum(misread) AS BIGINT) AS misread,
    round(100 * sum(overruled) / sum(reviewed), 1) AS overruled_percent
FROM mart.model_agreement
GROUP BY subject_uid, subject_name
ORDER BY overruled_percent DESC, reviewed DESC, subject
LIMIT 5
