-- In which share of a day's media does an application see a subject, over all cameras, and is that too much?
SELECT
    application_id,
    application_name,
    subject_uid,
    subject_name,
    day,
    CAST(sum(inspected) AS BIGINT) AS inspected,
    CAST(sum(defective) AS BIGINT) AS defective,
    CAST(sum(defective) AS DOUBLE PRECISION) / nullif(sum(inspected), 0) AS defect_rate,
    CAST(sum(defective) AS DOUBLE PRECISION) > {{ var('defect_rate_target') }} * sum(inspected) AS is_above_target
FROM {{ source('mart', 'defect_rate_daily') }}
GROUP BY
    application_id,
    application_name,
    subject_uid,
    subject_name,
    day
