-- How often do people agree with each model, and how sure was it when they did not?
-- Each assertion of a model that a user judged counts once, by the last judgement known, replaced ones
-- included. What is an assertion of a model, and when a user agrees with it, is told in model_vs_user.
--
--   application_id              Application that holds the assertions.
--   application_name            Name people gave the application.
--   model_id                    Model that was judged; NULL for assertions that were replaced before they
--                               could be loaded.
--   subject_uid                 Subject the model looked for.
--   subject_name                Name of the subject.
--   reviewed                    Number of the model's assertions that a user judged.
--   agreed                      Number of these the user confirmed.
--   overruled                   Number of these the user did not confirm.
--   wrongly_seen                Number of these where the model alone said that the subject was there.
--   overlooked                  Number of these where the user alone said so.
--   misread                     Number of these where the user read another text or count.
--   agreed_share                Share of the reviewed assertions that the user confirmed, 0..1.
--   mean_probability_overruled  Mean probability the model had given where it was overruled, 0..1;
--                               NULL where it never was.
WITH
-- JSON: the map from subject to threshold as rows; a threshold is sent as a number or as text.
configured AS (
    SELECT
        application_id,
        unnest(json_keys(detection_thresholds)) AS subject_uid,
        unnest(json_extract_string(detection_thresholds, '$.*')) AS threshold_text
    FROM cogniac.applications
),
thresholds AS (
    SELECT
        application_id,
        subject_uid,
        TRY_CAST(threshold_text AS DOUBLE) AS threshold
    FROM configured
),
-- JSON: a reading is the text or number that is all of the application data; counts are compared as numbers.
assertions AS (
    SELECT
        application_id,
        media_id,
        focus_key,
        subject_uid,
        detection_id,
        asserted_by,
        user_id,
        model_id,
        coalesce(created_at, valid_from) AS asserted_at,
        prev_prob,
        probability,
        uncal_prob,
        CASE app_data_type
            WHEN 'ocr' THEN app_data ->> '$'
            WHEN 'count' THEN CAST(TRY_CAST(app_data ->> '$' AS DOUBLE) AS VARCHAR)
        END AS reading,
        valid_from,
        revision
    FROM cogniac.detection_history
),
people AS (
    SELECT
        application_id,
        media_id,
        focus_key,
        subject_uid,
        detection_id,
        asserted_by,
        user_id,
        asserted_at,
        prev_prob,
        probability,
        uncal_prob,
        reading,
        row_number() OVER (
            PARTITION BY application_id, media_id, focus_key, subject_uid, detection_id
            ORDER BY valid_from DESC, revision DESC
        ) AS version_age
    FROM assertions
    WHERE asserted_by IN ('user', 'capture')
),
-- Each assertion of a person in its last version, with the probability before anybody spoke.
last_words AS (
    SELECT
        application_id,
        media_id,
        focus_key,
        subject_uid,
        detection_id,
        asserted_by,
        user_id,
        asserted_at,
        probability,
        coalesce(uncal_prob, probability) AS own_probability,
        reading,
        first_value(prev_prob) OVER (
            PARTITION BY application_id, media_id, focus_key, subject_uid
            ORDER BY asserted_at, detection_id
        ) AS probability_before
    FROM people
    WHERE version_age = 1
),
-- The model's assertions before each of a user's, the latest first, each in its first version.
candidates AS (
    SELECT
        users.application_id,
        users.media_id,
        users.focus_key,
        users.subject_uid,
        users.detection_id AS user_detection_id,
        users.user_id,
        users.asserted_at AS user_asserted_at,
        users.probability_before,
        users.probability AS probability_after,
        users.own_probability AS user_probability,
        users.reading AS user_reading,
        models.detection_id AS model_detection_id,
        models.model_id,
        models.asserted_at AS model_asserted_at,
        models.probability AS model_probability,
        models.reading AS model_reading,
        row_number() OVER (
            PARTITION BY
                users.application_id,
                users.media_id,
                users.focus_key,
                users.subject_uid,
                users.detection_id
            ORDER BY
                models.asserted_at DESC,
                models.detection_id DESC,
                models.valid_from,
                models.revision
        ) AS distance
    FROM last_words AS users
    LEFT JOIN assertions AS models
        ON models.application_id = users.application_id
        AND models.media_id = users.media_id
        AND models.focus_key = users.focus_key
        AND models.subject_uid = users.subject_uid
        AND models.asserted_by = 'model'
        AND models.asserted_at <= users.asserted_at
    WHERE users.asserted_by = 'user'
),
with_model AS (
    SELECT DISTINCT application_id
    FROM cogniac.detection_history
    WHERE asserted_by = 'model'
),
pairs AS (
    SELECT
        candidates.application_id,
        candidates.media_id,
        candidates.focus_key,
        candidates.subject_uid,
        candidates.model_id,
        candidates.model_detection_id,
        candidates.model_asserted_at,
        CASE
            WHEN candidates.model_detection_id IS NULL THEN candidates.probability_before
            ELSE candidates.model_probability
        END AS model_probability,
        coalesce(thresholds.threshold, 0.5) AS threshold,
        candidates.user_id,
        candidates.user_detection_id,
        candidates.user_asserted_at,
        candidates.user_probability,
        candidates.probability_after,
        candidates.model_reading,
        candidates.user_reading,
        row_number() OVER (
            PARTITION BY
                candidates.application_id,
                candidates.media_id,
                candidates.focus_key,
                candidates.subject_uid,
                candidates.model_detection_id
            ORDER BY candidates.user_asserted_at DESC, candidates.user_detection_id DESC
        ) AS answer_age
    FROM candidates
    JOIN with_model ON with_model.application_id = candidates.application_id
    LEFT JOIN thresholds
        ON thresholds.application_id = candidates.application_id
        AND thresholds.subject_uid = candidates.subject_uid
    WHERE candidates.distance = 1
        AND (candidates.model_detection_id IS NOT NULL OR candidates.probability_before IS NOT NULL)
),
judged AS (
    SELECT
        application_id,
        media_id,
        focus_key,
        subject_uid,
        model_id,
        model_detection_id,
        model_asserted_at,
        model_probability,
        threshold,
        user_id,
        user_detection_id,
        user_asserted_at,
        user_probability,
        probability_after,
        model_reading,
        user_reading,
        CASE
            WHEN model_probability > threshold AND user_probability <= 0.5 THEN 'wrongly seen'
            WHEN model_probability <= threshold AND user_probability > 0.5 THEN 'overlooked'
            WHEN model_probability IS NULL OR user_probability IS NULL THEN NULL
            WHEN user_probability > 0.5 AND user_reading <> model_reading THEN 'misread'
            ELSE 'confirmed'
        END AS verdict,
        answer_age = 1 AS is_last_word
    FROM pairs
),
counted AS (
    SELECT
        application_id,
        model_id,
        subject_uid,
        count(*) AS reviewed,
        count(*) FILTER (WHERE verdict = 'confirmed') AS agreed,
        count(*) FILTER (WHERE verdict = 'wrongly seen') AS wrongly_seen,
        count(*) FILTER (WHERE verdict = 'overlooked') AS overlooked,
        count(*) FILTER (WHERE verdict = 'misread') AS misread,
        avg(model_probability) FILTER (WHERE verdict <> 'confirmed') AS mean_probability_overruled
    FROM judged
    WHERE is_last_word
        AND verdict IS NOT NULL
    GROUP BY
        application_id,
        model_id,
        subject_uid
)
SELECT
    counted.application_id,
    applications.name AS application_name,
    counted.model_id,
    counted.subject_uid,
    subjects.name AS subject_name,
    counted.reviewed,
    counted.agreed,
    counted.reviewed - counted.agreed AS overruled,
    counted.wrongly_seen,
    counted.overlooked,
    counted.misread,
    1.0 * counted.agreed / counted.reviewed AS agreed_share,
    counted.mean_probability_overruled
FROM counted
LEFT JOIN cogniac.applications AS applications ON applications.application_id = counted.application_id
LEFT JOIN cogniac.subjects AS subjects ON subjects.subject_uid = counted.subject_uid
