-- Which results should a person look at first?
-- One row per current result that no user has judged, with the model's assertion that is nearest to the
-- application's threshold (0.5, the vendor's default, where none is set): there the model is least sure. A
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
-- A result can hold several assertions of a model on one subject: the latest is the one that counts.
newest AS (
    SELECT
        detections.application_id,
        detections.media_id,
        detections.focus_key,
        detections.subject_uid,
        detections.detection_id,
        detections.model_id,
        detections.created_at,
        detections.probability,
        row_number() OVER (
            PARTITION BY
                detections.application_id,
                detections.media_id,
                detections.focus_key,
                detections.subject_uid
            ORDER BY detections.created_at DESC NULLS LAST, detections.detection_id DESC
        ) AS age
    FROM cogniac.detections AS detections
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
measured AS (
    SELECT
        newest.application_id,
        newest.media_id,
        newest.focus_key,
        newest.subject_uid,
        newest.detection_id,
        newest.model_id,
        newest.created_at,
        newest.probability,
        coalesce(thresholds.threshold, CAST(0.5 AS DOUBLE)) AS threshold,
        abs(newest.probability - coalesce(thresholds.threshold, CAST(0.5 AS DOUBLE))) AS distance
    FROM newest
    LEFT JOIN staging.thresholds AS thresholds
        ON thresholds.application_id = newest.application_id
        AND thresholds.subject_uid = newest.subject_uid
        AND thresholds.valid_to IS NULL
    WHERE newest.age = 1
        AND newest.probability IS NOT NULL
),
least_sure AS (
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
    FROM measured
),
-- By the place in the whole queue, so that its four columns are put in order only once.
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
        row_number() OVER (ORDER BY distance, application_id, media_id, focus_key) AS queue_rank
    FROM least_sure
    WHERE place = 1
)
SELECT
    ranked.queue_rank,
    row_number() OVER (PARTITION BY ranked.application_id ORDER BY ranked.queue_rank) AS application_rank,
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
