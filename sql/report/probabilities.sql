-- How are the probabilities that the models give distributed, by application and subject, and above which are detections passed on?
-- Counts the current assertions of models in twenty steps from 0 to 1, for the 12 subjects of each application with the most of them; pair_place says which have the most of all.
WITH steps AS (
    SELECT
        detections.application_id,
        detections.subject_uid,
        CAST(least(floor(detections.probability * 20), 19) AS BIGINT) AS step,
        count(*) AS detections
    FROM cogniac.detections AS detections
    JOIN report_applications AS pages ON pages.application_id = detections.application_id
    WHERE detections.asserted_by = 'model'
        AND detections.probability IS NOT NULL
    GROUP BY
        detections.application_id,
        detections.subject_uid,
        CAST(least(floor(detections.probability * 20), 19) AS BIGINT)
),
pairs AS (
    SELECT
        application_id,
        subject_uid,
        list(step ORDER BY step) AS steps,
        list(detections ORDER BY step) AS counts,
        CAST(sum(detections) AS BIGINT) AS detections
    FROM steps
    GROUP BY
        application_id,
        subject_uid
),
placed AS (
    SELECT
        application_id,
        subject_uid,
        steps,
        counts,
        detections,
        row_number() OVER (PARTITION BY application_id ORDER BY detections DESC, subject_uid) AS place,
        count(*) OVER (PARTITION BY application_id) AS subjects,
        row_number() OVER (ORDER BY detections DESC, application_id, subject_uid) AS pair_place,
        count(*) OVER () AS pairs
    FROM pairs
),
passed AS (
    SELECT
        application_id,
        subject_uid,
        max(threshold) AS threshold,
        CAST(sum(above_threshold) AS BIGINT) AS above_threshold
    FROM report_detections
    WHERE is_model
    GROUP BY
        application_id,
        subject_uid
)
SELECT
    placed.application_id,
    coalesce(named.subject, placed.subject_uid) AS subject,
    passed.threshold,
    thresholds.threshold IS NULL AS is_default,
    passed.above_threshold,
    placed.detections,
    placed.steps,
    placed.counts,
    placed.place,
    placed.subjects,
    placed.pair_place,
    placed.pairs
FROM placed
JOIN passed
    ON passed.application_id = placed.application_id
    AND passed.subject_uid = placed.subject_uid
LEFT JOIN report_subjects AS named
    ON named.application_id = placed.application_id
    AND named.subject_uid = placed.subject_uid
LEFT JOIN staging.thresholds AS thresholds
    ON thresholds.application_id = placed.application_id
    AND thresholds.subject_uid = placed.subject_uid
    AND thresholds.valid_to IS NULL
WHERE placed.place <= 12
ORDER BY placed.pair_place
