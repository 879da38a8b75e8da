-- The thresholds of the applications that this run wrote, NULL for subjects without one, and since when: since
-- the application was changed, where that can be, for it lies between what was known before and now.
CREATE OR REPLACE TEMP TABLE configured_thresholds AS
WITH known AS (
    SELECT application_id, max(greatest(valid_from, valid_to)) AS changed_at
    FROM cogniac.threshold_history
    GROUP BY application_id
),
written AS (
    SELECT
        applications.application_id,
        applications.output_subjects,
        CASE
            WHEN applications.modified_at <= applications._loaded_at
                AND coalesce(applications.modified_at > known.changed_at, true)
                THEN applications.modified_at
            ELSE greatest(applications._loaded_at, known.changed_at + INTERVAL 1 MICROSECOND)
        END AS changed_at,
        applications._loaded_at
    FROM cogniac.applications AS applications
    LEFT JOIN known USING (application_id)
    WHERE applications._run_id = $run_id
),
subjects AS (
    SELECT application_id, coalesce(subject ->> '$.subject_uid', subject ->> '$') AS subject_uid
    FROM (SELECT application_id, unnest(json_extract(output_subjects, '$[*]')) AS subject FROM written)
    UNION
    SELECT application_id, subject_uid
    FROM cogniac.application_thresholds
)
SELECT
    written.application_id,
    subjects.subject_uid,
    thresholds.threshold,
    written.changed_at,
    written._loaded_at
FROM written
LEFT JOIN subjects USING (application_id)
LEFT JOIN cogniac.application_thresholds AS thresholds
    ON thresholds.application_id = written.application_id
    AND thresholds.subject_uid = subjects.subject_uid
