-- What each subject of an application is called: with its id where two of them have the same name.
WITH named AS (
    SELECT
        application_id,
        subject_uid,
        max(subject_name) FILTER (WHERE trim(subject_name) <> '') AS name
    FROM report_detections
    GROUP BY
        application_id,
        subject_uid
)
SELECT
    application_id,
    subject_uid,
    CASE
        WHEN name IS NULL THEN subject_uid
        WHEN count(*) OVER (PARTITION BY application_id, name) > 1 THEN name || ' (' || subject_uid || ')'
        ELSE name
    END AS subject
FROM named
