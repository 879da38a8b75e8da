-- Which models did each application use, when, and how sure were they?
-- One row per model of an application, out of every assertion ever seen: replaced ones count too, an
-- assertion with several versions counts once, with its last one.
--
--   application_id      Application that used the model.
--   application_name    Name people gave the application.
--   model_id            Model that made the assertions.
--   release_number      Place of the model among those of the application, from 1 for the one seen first.
--   is_in_use           Whether the application says that it uses the model at present; NULL where it names
--                       none.
--   first_seen_at       When the model made its first known assertion.
--   last_seen_at        When the model made its last known assertion.
--   results             Number of results (media, or regions of them) the model made assertions about.
--   detections          Number of assertions the model made.
--   current_detections  Number of these that still stand.
--   mean_probability    Mean probability of the assertions, 0..1.
WITH versions AS (
    SELECT
        application_id,
        model_id,
        media_id || ' ' || focus_key AS result,
        asserted_at,
        probability,
        valid_to,
        row_number() OVER (
            PARTITION BY application_id, media_id, focus_key, detection_id, subject_uid, model_id
            ORDER BY valid_from DESC, revision DESC
        ) AS version_number
    FROM staging.assertions
    WHERE model_id IS NOT NULL
),
models AS (
    SELECT
        application_id,
        model_id,
        min(asserted_at) AS first_seen_at,
        max(asserted_at) AS last_seen_at,
        count(DISTINCT result) AS results,
        count(*) AS detections,
        count(*) FILTER (WHERE valid_to IS NULL) AS current_detections,
        avg(probability) AS mean_probability
    FROM versions
    WHERE version_number = 1
    GROUP BY
        application_id,
        model_id
)
SELECT
    models.application_id,
    applications.name AS application_name,
    models.model_id,
    row_number() OVER (
        PARTITION BY models.application_id
        ORDER BY models.first_seen_at, models.model_id
    ) AS release_number,
    applications.model_id = models.model_id AS is_in_use,
    models.first_seen_at,
    models.last_seen_at,
    models.results,
    models.detections,
    models.current_detections,
    models.mean_probability
FROM models
LEFT JOIN cogniac.applications AS applications ON applications.application_id = models.application_id
