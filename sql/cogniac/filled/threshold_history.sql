-- The thresholds of the applications that were loaded before their history was kept, as a load would begin it.
WITH subjects AS (
    SELECT application_id, coalesce(subject ->> '$.subject_uid', subject ->> '$') AS subject_uid
    FROM (
        SELECT application_id, unnest(json_extract(output_subjects, '$[*]')) AS subject
        FROM cogniac.applications
    )
    UNION
    SELECT application_id, subject_uid
    FROM cogniac.application_thresholds
)
SELECT
    applications.application_id,
    subjects.subject_uid,
    CASE
        WHEN applications.modified_at <= applications._loaded_at THEN applications.modified_at
        ELSE applications._loaded_at
    END AS valid_from,
    CAST(NULL AS TIMESTAMPTZ) AS valid_to,
    thresholds.threshold,
    applications._run_id,
    applications._loaded_at
FROM cogniac.applications AS applications
JOIN subjects USING (application_id)
LEFT JOIN cogniac.application_thresholds AS thresholds USING (application_id, subject_uid)
WHERE subjects.subject_uid IS NOT NULL
