-- In which share of the media that are inspected each day is a subject seen, and is that unusual?
-- One row per application, camera, subject that the application now asserts in anything the camera took, and day
-- on which it inspected anything of that camera. A media item has a subject if in any region of it the latest
-- assertion, a model's or a user's, has a probability above the threshold that the application had at that time
-- (0.5, the vendor's default, where none was set).
-- The control limits are those of a p-chart: three standard deviations around the rate over all days.
--
--   application_id      Application that inspects.
--   application_name    Name people gave the application.
--   network_camera_id   Camera that took the pictures; NULL where none is named.
--   subject_uid         Subject that is looked for, such as a defect.
--   subject_name        Name of the subject.
--   day                 Day on which the media were inspected, in the time zone that mart.settings names.
--   inspected           Number of media items that were inspected: the denominator.
--   defective           Number of these with the subject.
--   defect_rate         Share of the inspected media with the subject, 0..1.
--   moving_mean         The same share over this day and the six before it on which anything was inspected.
--   center_line         The same share over all days.
--   lower_limit         Lower control limit of the rate on this day, not below 0.
--   upper_limit         Upper control limit of the rate on this day, not above 1.
--   is_out_of_control   Whether the rate is beyond one of these limits.
WITH latest AS (
    SELECT
        application_id,
        media_id,
        subject_uid,
        probability,
        coalesce(created_at, updated_at) AS asserted_at,
        row_number() OVER (
            PARTITION BY application_id, media_id, focus_key, subject_uid
            ORDER BY created_at DESC NULLS LAST, detection_id DESC
        ) AS age
    FROM cogniac.detections
    WHERE asserted_by IN ('model', 'user')
),
seen AS (
    SELECT
        latest.application_id,
        latest.media_id,
        latest.subject_uid,
        max(
            CASE WHEN latest.probability > coalesce(thresholds.threshold, CAST(0.5 AS DOUBLE)) THEN 1 ELSE 0 END
        ) AS is_defective
    FROM latest
    LEFT JOIN staging.thresholds AS thresholds
        ON thresholds.application_id = latest.application_id
        AND thresholds.subject_uid = latest.subject_uid
        AND (thresholds.valid_from IS NULL OR thresholds.valid_from <= latest.asserted_at)
        AND (thresholds.valid_to IS NULL OR thresholds.valid_to > latest.asserted_at)
    WHERE latest.age = 1
    GROUP BY
        latest.application_id,
        latest.media_id,
        latest.subject_uid
),
inspected AS (
    SELECT
        inspections.application_id,
        inspections.media_id,
        coalesce(media.network_camera_id, '') AS camera,
        inspections.day
    FROM staging.inspections AS inspections
    LEFT JOIN cogniac.media AS media ON media.media_id = inspections.media_id
),
days AS (
    SELECT
        application_id,
        camera,
        day,
        count(*) AS inspected
    FROM inspected
    GROUP BY
        application_id,
        camera,
        day
),
found AS (
    SELECT
        seen.application_id,
        inspected.camera,
        seen.subject_uid,
        inspected.day,
        CAST(sum(seen.is_defective) AS BIGINT) AS defective
    FROM seen
    JOIN inspected
        ON inspected.application_id = seen.application_id
        AND inspected.media_id = seen.media_id
    GROUP BY
        seen.application_id,
        inspected.camera,
        seen.subject_uid,
        inspected.day
),
subjects AS (
    SELECT DISTINCT
        application_id,
        camera,
        subject_uid
    FROM found
),
counted AS (
    SELECT
        days.application_id,
        days.camera,
        subjects.subject_uid,
        days.day,
        days.inspected,
        coalesce(found.defective, 0) AS defective
    FROM days
    JOIN subjects
        ON subjects.application_id = days.application_id
        AND subjects.camera = days.camera
    LEFT JOIN found
        ON found.application_id = days.application_id
        AND found.camera = days.camera
        AND found.subject_uid = subjects.subject_uid
        AND found.day = days.day
),
rates AS (
    SELECT
        application_id,
        camera,
        subject_uid,
        day,
        inspected,
        defective,
        CAST(defective AS DOUBLE) / inspected AS defect_rate,
        CAST(
            sum(defective) OVER (
                PARTITION BY application_id, camera, subject_uid
                ORDER BY day NULLS FIRST
                ROWS BETWEEN 6 PRECEDING AND CURRENT ROW
            ) AS DOUBLE
        ) / sum(inspected) OVER (
            PARTITION BY application_id, camera, subject_uid
            ORDER BY day NULLS FIRST
            ROWS BETWEEN 6 PRECEDING AND CURRENT ROW
        ) AS moving_mean,
        CAST(sum(defective) OVER (PARTITION BY application_id, camera, subject_uid) AS DOUBLE)
            / sum(inspected) OVER (PARTITION BY application_id, camera, subject_uid) AS center_line
    FROM counted
),
limited AS (
    SELECT
        application_id,
        camera,
        subject_uid,
        day,
        inspected,
        defective,
        defect_rate,
        moving_mean,
        center_line,
        3 * sqrt(center_line * (1 - center_line) / inspected) AS reach
    FROM rates
)
SELECT
    limited.application_id,
    applications.name AS application_name,
    nullif(limited.camera, '') AS network_camera_id,
    limited.subject_uid,
    subjects.name AS subject_name,
    limited.day,
    limited.inspected,
    limited.defective,
    limited.defect_rate,
    limited.moving_mean,
    limited.center_line,
    CASE
        WHEN limited.reach < limited.center_line THEN limited.center_line - limited.reach
        ELSE CAST(0 AS DOUBLE)
    END AS lower_limit,
    CASE
        WHEN limited.center_line + limited.reach < 1 THEN limited.center_line + limited.reach
        ELSE CAST(1 AS DOUBLE)
    END AS upper_limit,
    limited.defect_rate < limited.center_line - limited.reach
    OR limited.defect_rate > limited.center_line + limited.reach AS is_out_of_control
FROM limited
LEFT JOIN cogniac.applications AS applications ON applications.application_id = limited.application_id
LEFT JOIN cogniac.subjects AS subjects ON subjects.subject_uid = limited.subject_uid
