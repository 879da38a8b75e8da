-- In which share of a day's media does an application see a subject, over all cameras, and is that too much?
-- Media count of cameras in whose media the subject was never asserted, too: mart.defect_rate_daily has no row of these.
WITH subjects AS (
    SELECT DISTINCT
        application_id,
        subject_uid,
        subject_name
    FROM {{ source('mart', 'defect_rate_daily') }}
),
seen AS (
    SELECT
        application_id,
        subject_uid,
        day,
        CAST(sum(defective) AS BIGINT) AS defective
    FROM {{ source('mart', 'defect_rate_daily') }}
    GROUP BY
        application_id,
        subject_uid,
        day
)
SELECT
    coverage.application_id,
    coverage.application_name,
    subjects.subject_uid,
    subjects.subject_name,
    coverage.day,
    coverage.media AS inspected,
    coalesce(seen.defective, 0) AS defective,
    CAST(coalesce(seen.defective, 0) AS DOUBLE PRECISION) / coverage.media AS defect_rate,
    coalesce(seen.defective, 0) > {{ var('defect_rate_target') }} * coverage.media AS is_above_target
FROM {{ source('mart', 'coverage') }} AS coverage
JOIN subjects ON subjects.application_id = coverage.application_id
LEFT JOIN seen
    ON seen.application_id = coverage.application_id
    AND seen.subject_uid = subjects.subject_uid
    AND seen.day = coverage.day
