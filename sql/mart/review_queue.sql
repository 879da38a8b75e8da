-- Which results should a person look at first?
-- One row per current result that no user has judged, with the model's assertion that is nearest to the
-- application's threshold (0.5, the vendor's default, where none is set): there the model is least sure. Of each
-- subject the model's latest assertion counts; a result in which none of these has a probability is left out. A
-- capture outside an application is no judgement of what the application saw.
--
--   queue_rank        Place in the queue, from 1 for the result the model is least sure of.
--   application_rank  Place among the results of the same application, from 1.
--   application_id    Application that holds the result.
--   application_name  Name people gave the application.
--   media_id          Media item to look at.
--   filename          Name of its file; NULL where none is known.
--   focus_key         Region of the media item, as canonical JSON; the empty string stands for the whole
--                     media item.
--   subject_uid       Subject the model is least sure of.
--   subject_name      Name of the subject.
--   model_id          Model that made the assertion.
--   detection_id      Cogniac's id of the assertion.
--   asserted_at       When the assertion was made; NULL where Cogniac did not say.
--   probability       Probability that the subject is there, 0..1.
--   threshold         Probability above which the application passes a detection of the subject on, 0..1.
--   distance          How far the probability is from the threshold, from 0 (least sure) to 1.
WITH
unjudged AS (
    SELECT
        detections.application_id,
        detections.media_id,
        detections.focus_key,
        detections.subject_uid,
        detections.detection_id,
        detections.model_id,
        detections.created_at,
        detections.probability,
        coalesce(thresholds.threshold, CAST(0.5 AS DOUBLE)) AS threshold,
        abs(detections.probability - coalesce(thresholds.threshold, CAST(0.5 AS DOUBLE))) AS distance
    FROM cogniac.detections AS detections
    LEFT JOIN staging.thresholds AS thresholds
        ON thresholds.application_id = detections.application_id
        AND thresholds.subject_uid = detections.subject_uid
        AND thresholds.valid_to IS NULL
    WHERE detections.asserted_by = 'model'
        AND NOT EXISTS (
            SELECT 1
            FROM cogniac.detections AS judged
            WHERE judged.application_id = detections.application_id
                AND judged.media_id = detections.media_id
                AND judged.focus_key = detections.focus_key
                AND judged.asserted_by = 'user'
        )
),
-- To number the assertions of every subject and the subjects of every result would take most of the time: there
-- are many, and their keys are long. Most results hold each subject once, and there the least distance says
-- enough; so assertions are counted first, and numbered only in the results that hold a subject repeatedly.
subjects AS (
    SELECT
        application_id,
        media_id,
        focus_key,
        subject_uid,
        count(*) AS assertions,
        min(distance) AS distance
    FROM unjudged
    GROUP BY
        application_id,
        media_id,
        focus_key,
        subject_uid
),
results AS (
    SELECT
        application_id,
        media_id,
        focus_key,
        max(assertions) AS assertions,
        min(distance) AS distance
    FROM subjects
    GROUP BY
        application_id,
        media_id,
        focus_key
),
-- A result can hold several assertions of a model on one subject: the latest is the one that counts.
repeated AS (
    SELECT
        unjudged.application_id,
        unjudged.media_id,
        unjudged.focus_key,
        unjudged.subject_uid,
        unjudged.detection_id,
        unjudged.model_id,
        unjudged.created_at,
        unjudged.probability,
        unjudged.threshold,
        unjudged.distance,
        row_number() OVER (
            PARTITION BY
                unjudged.application_id,
                unjudged.media_id,
                unjudged.focus_key,
                unjudged.subject_uid
            ORDER BY unjudged.created_at DESC NULLS LAST, unjudged.detection_id DESC
        ) AS age
    FROM unjudged
    JOIN results
        ON results.application_id = unjudged.application_id
        AND results.media_id = unjudged.media_id
        AND results.focus_key = unjudged.focus_key
    WHERE results.assertions > 1
),
latest AS (
    SELECT
        application_id,
        media_id,
        focus_key,
        subject_uid,
        detection_id,
        model_id,
        created_at,
        probability,
        threshold,
        distance,
        row_number() OVER (
            PARTITION BY application_id, media_id, focus_key
            ORDER BY distance, subject_uid
        ) AS place
    FROM repeated
    WHERE age = 1
        AND probability IS NOT NULL
),
-- Of a result that holds each subject once, still all of its subjects that are equally near.
least_sure AS (
    SELECT
        unjudged.application_id,
        unjudged.media_id,
        unjudged.focus_key,
        unjudged.subject_uid,
        unjudged.detection_id,
        unjudged.model_id,
        unjudged.created_at,
        unjudged.probability,
        unjudged.threshold,
        unjudged.distance
    FROM unjudged
    JOIN results
        ON results.application_id = unjudged.application_id
        AND results.media_id = unjudged.media_id
        AND results.focus_key = unjudged.focus_key
        AND results.distance = unjudged.distance
    WHERE results.assertions = 1
    UNION ALL
    SELECT
        application_id,
        media_id,
        focus_key,
        subject_uid,
        detection_id,
        model_id,
        created_at,
        probability,
        threshold,
        distance
    FROM latest
    WHERE place = 1
),
-- Equally near subjects of a result share a place in the queue, and all but the first have equals before them. All
-- is numbered by one order, so that the rows are sorted only once.
queued AS (
    SELECT
        application_id,
        media_id,
        focus_key,
        subject_uid,
        detection_id,
        model_id,
        created_at,
        probability,
        threshold,
        distance,
        dense_rank() OVER (ORDER BY distance, application_id, media_id, focus_key) AS queue_rank,
        row_number() OVER (ORDER BY distance, application_id, media_id, focus_key, subject_uid)
        - rank() OVER (ORDER BY distance, application_id, media_id, focus_key) AS equals_before
    FROM least_sure
),
-- By the place in the whole queue, so that its four columns are put in order only once; before the names are
-- joined, for a sort carries all columns along.
ranked AS (
    SELECT
        application_id,
        media_id,
        focus_key,
        subject_uid,
        detection_id,
        model_id,
        created_at,
        probability,
        threshold,
        distance,
        queue_rank,
        row_number() OVER (PARTITION BY application_id ORDER BY queue_rank) AS application_rank
    FROM queued
    WHERE equals_before = 0
)
SELECT
    ranked.queue_rank,
    ranked.application_rank,
    ranked.application_id,
    applications.name AS application_name,
    ranked.media_id,
    media.filename,
    ranked.focus_key,
    ranked.subject_uid,
    subjects.name AS subject_name,
    ranked.model_id,
    ranked.detection_id,
    ranked.created_at AS asserted_at,
    ranked.probability,
    ranked.threshold,
    ranked.distance
FROM ranked
LEFT JOIN cogniac.applications AS applications ON applications.application_id = ranked.application_id
LEFT JOIN cogniac.subjects AS subjects ON subjects.subject_uid = ranked.subject_uid
LEFT JOIN cogniac.media AS media ON media.media_id = ranked.media_id
