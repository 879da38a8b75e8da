-- How often do people agree with the models, by application and subject?
-- All models and weeks of an application together, with Wilson's interval at 95 % of the share agreed with; the 12 pairs that people reviewed most, those most often overruled first.
WITH pairs AS (
    SELECT
        application_id,
        application_name,
        subject_uid,
        subject_name,
        CAST(sum(reviewed) AS BIGINT) AS reviewed,
        CAST(sum(agreed) AS BIGINT) AS agreed,
        CAST(sum(wrongly_seen) AS BIGINT) AS wrongly_seen,
        CAST(sum(overlooked) AS BIGINT) AS overlooked,
        CAST(sum(misread) AS BIGINT) AS misread
    FROM mart.model_agreement
    GROUP BY
        application_id,
        application_name,
        subject_uid,
        subject_name
),
most_reviewed AS (
    SELECT
        application_id,
        coalesce(application_name, application_id) AS application,
        subject_uid,
        coalesce(subject_name, subject_uid) AS subject,
        reviewed,
        agreed,
        wrongly_seen,
        overlooked,
        misread,
        count(*) OVER () AS pairs
    FROM pairs
    ORDER BY
        reviewed DESC,
        application_id,
        subject_uid
    LIMIT 12
)
SELECT
    application,
    subject,
    reviewed,
    agreed,
    wrongly_seen,
    overlooked,
    misread,
    (2 * agreed + 3.84146 - sqrt(3.84146 * (3.84146 + 4 * agreed * (reviewed - agreed) / reviewed)))
        / (2 * (reviewed + 3.84146)) AS agreed_from,
    (2 * agreed + 3.84146 + sqrt(3.84146 * (3.84146 + 4 * agreed * (reviewed - agreed) / reviewed)))
        / (2 * (reviewed + 3.84146)) AS agreed_to,
    pairs
FROM most_reviewed
ORDER BY
    reviewed - agreed DESC,
    reviewed,
    application_id,
    subject_uid
