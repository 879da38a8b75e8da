-- Do the probabilities that a model gives drift away from those of its first weeks?
-- One row per application, model, subject and week with assertions of the model, each counted as it was first
-- seen. What is compared is how the probabilities are distributed over ten steps from 0 to 1 with the first
-- four weeks in which the model asserted the subject, as population stability index (PSI): by custom, less than
-- 0.1 is stable, 0.1 to 0.25 worth a look, and more a shift. Each step counts half an assertion more than it
-- has, so that an empty one is no infinity; of a few dozen assertions the index says little.
--
--   application_id             Application that used the model.
--   application_name           Name people gave the application.
--   model_id                   Model that made the assertions.
--   subject_uid                Subject the model looked for.
--   subject_name               Name of the subject.
--   week                       Monday of the week of the assertions, in the time zone that mart.settings names.
--   detections                 Number of assertions with a probability in that week.
--   mean_probability           Mean of their probabilities, 0..1.
--   is_baseline                Whether the week is one of those that are compared with.
--   baseline_detections        Number of assertions in these weeks.
--   baseline_mean_probability  Mean of their probabilities, 0..1.
--   psi                        Population stability index of the week; near 0 where it is distributed as they are.
WITH
steps AS (
    SELECT 0 AS step UNION ALL SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3 UNION ALL SELECT 4
    UNION ALL SELECT 5 UNION ALL SELECT 6 UNION ALL SELECT 7 UNION ALL SELECT 8 UNION ALL SELECT 9
),
versions AS (
    SELECT
        application_id,
        model_id,
        subject_uid,
        CAST(asserted_at AT TIME ZONE 'UTC' AS DATE) AS day,
        probability,
        row_number() OVER (
            PARTITION BY application_id, media_id, focus_key, detection_id, subject_uid
            ORDER BY valid_from, revision
        ) AS version_number
    FROM staging.assertions
    WHERE model_id IS NOT NULL
        AND probability IS NOT NULL
),
counted AS (
    SELECT
        application_id,
        model_id,
        subject_uid,
        CAST(date_trunc('week', day) AS DATE) AS week,
        CASE WHEN probability < 1 THEN CAST(floor(probability * 10) AS BIGINT) ELSE 9 END AS step,
        count(*) AS detections,
        sum(probability) AS probability
    FROM versions
    WHERE version_number = 1
    GROUP BY
        application_id,
        model_id,
        subject_uid,
        CAST(date_trunc('week', day) AS DATE),
        CASE WHEN probability < 1 THEN CAST(floor(probability * 10) AS BIGINT) ELSE 9 END
),
weeks AS (
    SELECT
        application_id,
        model_id,
        subject_uid,
        week,
        CAST(sum(detections) AS BIGINT) AS detections,
        sum(probability) AS probability,
        row_number() OVER (PARTITION BY application_id, model_id, subject_uid ORDER BY week) <= 4 AS is_baseline
    FROM counted
    GROUP BY
        application_id,
        model_id,
        subject_uid,
        week
),
baselines AS (
    SELECT
        weeks.application_id,
        weeks.model_id,
        weeks.subject_uid,
        CAST(sum(weeks.detections) AS BIGINT) AS detections,
        sum(weeks.probability) AS probability
    FROM weeks
    WHERE weeks.is_baseline
    GROUP BY
        weeks.application_id,
        weeks.model_id,
        weeks.subject_uid
),
baseline_steps AS (
    SELECT
        counted.application_id,
        counted.model_id,
        counted.subject_uid,
        counted.step,
        sum(counted.detections) AS detections
    FROM counted
    JOIN weeks
        ON weeks.application_id = counted.application_id
        AND weeks.model_id = counted.model_id
        AND weeks.subject_uid = counted.subject_uid
        AND weeks.week = counted.week
    WHERE weeks.is_baseline
    GROUP BY
        counted.application_id,
        counted.model_id,
        counted.subject_uid,
        counted.step
),
shares AS (
    SELECT
        weeks.application_id,
        weeks.model_id,
        weeks.subject_uid,
        weeks.week,
        weeks.detections,
        weeks.probability,
        weeks.is_baseline,
        baselines.detections AS baseline_detections,
        baselines.probability AS baseline_probability,
        (coalesce(counted.detections, 0) + CAST(0.5 AS DOUBLE)) / (weeks.detections + 5) AS share,
        (coalesce(baseline_steps.detections, 0) + CAST(0.5 AS DOUBLE)) / (baselines.detections + 5)
            AS baseline_share
    FROM weeks
    CROSS JOIN steps
    JOIN baselines
        ON baselines.application_id = weeks.application_id
        AND baselines.model_id = weeks.model_id
        AND baselines.subject_uid = weeks.subject_uid
    LEFT JOIN counted
        ON counted.application_id = weeks.application_id
        AND counted.model_id = weeks.model_id
        AND counted.subject_uid = weeks.subject_uid
        AND counted.week = weeks.week
        AND counted.step = steps.step
    LEFT JOIN baseline_steps
        ON baseline_steps.application_id = weeks.application_id
        AND baseline_steps.model_id = weeks.model_id
        AND baseline_steps.subject_uid = weeks.subject_uid
        AND baseline_steps.step = steps.step
),
drift AS (
    SELECT
        application_id,
        model_id,
        subject_uid,
        week,
        detections,
        probability / detections AS mean_probability,
        is_baseline,
        baseline_detections,
        baseline_probability / baseline_detections AS baseline_mean_probability,
        sum((share - baseline_share) * ln(share / baseline_share)) AS psi
    FROM shares
    GROUP BY
        application_id,
        model_id,
        subject_uid,
        week,
        detections,
        probability,
        is_baseline,
        baseline_detections,
        baseline_probability
)
SELECT
    drift.application_id,
    applications.name AS application_name,
    drift.model_id,
    drift.subject_uid,
    subjects.name AS subject_name,
    drift.week,
    drift.detections,
    drift.mean_probability,
    drift.is_baseline,
    drift.baseline_detections,
    drift.baseline_mean_probability,
    drift.psi
FROM drift
LEFT JOIN cogniac.applications AS applications ON applications.application_id = drift.application_id
LEFT JOIN cogniac.subjects AS subjects ON subjects.subject_uid = drift.subject_uid
