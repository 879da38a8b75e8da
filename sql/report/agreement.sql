-- How often do people agree with the models, by application and subject?
-- All models and weeks of an application together, with Wilson's interval at 95 % of the share agreed with; the 12 pairs of each application that has a page, and the 12 of all, that people reviewed most, those most often overruled first.
WITH pairs AS (
    SELECT
        application_id,
        max(application_name) FILTER (WHERE trim(application_name) <> '') AS application_name,
        subject_uid,
        max(subject_name) FILTER (WHERE trim(subject_name) <> '') AS subject_name,
        CAST(sum(reviewed) AS BIGINT) AS reviewed,
        CAST(sum(agreed) AS BIGINT) AS agreed,
        CAST(sum(wrongly_seen) AS BIGINT) AS wrongly_seen,
        CAST(sum(overlooked) AS BIGINT) AS overlooked,
        CAST(sum(misread) AS BIGINT) AS misread
    FROM mart.model_agreement
    GROUP BY
        application_id,
        subject_uid
),
placed AS (
    SELECT
        pairs.application_id,
        coalesce(pairs.application_name, pairs.application_id) AS application,
        pairs.subject_uid,
        coalesce(named.subject, pairs.subject_name, pairs.subject_uid) AS subject,
        reviewed,
        agreed,
        wrongly_seen,
        overlooked,
        misread,
        row_number() OVER (PARTITION BY pairs.application_id ORDER BY reviewed DESC, pairs.subject_uid) AS place,
        count(*) OVER (PARTITION BY pairs.application_id) AS subjects,
        row_number() OVER (ORDER BY reviewed DESC, pairs.application_id, pairs.subject_uid) AS pair_place,
        count(*) OVER () AS pairs,
        CAST(sum(reviewed) OVER (PARTITION BY pairs.application_id) AS BIGINT) AS reviewed_of_application,
        CAST(sum(agreed) OVER (PARTITION BY pairs.application_id) AS BIGINT) AS agreed_of_application,
        CAST(sum(reviewed) OVER () AS BIGINT) AS reviewed_of_all,
        CAST(sum(agreed) OVER () AS BIGINT) AS agreed_of_all
    FROM pairs
    LEFT JOIN report_subjects AS named
        ON named.application_id = pairs.application_id
        AND named.subject_uid = pairs.subject_uid
)
SELECT
    application_id,
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
    place,
    subjects,
    pair_place,
    pairs,
    reviewed_of_application,
    agreed_of_application,
    reviewed_of_all,
    agreed_of_all
FROM placed
WHERE pair_place <= 12
    OR (place <= 12 AND application_id IN (SELECT application_id FROM report_applications))
ORDER BY
    reviewed - agreed DESC,
    reviewed,
    application_id,
    subject_uid
