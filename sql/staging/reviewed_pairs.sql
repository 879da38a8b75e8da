-- What did the model say before each assertion of a user, and did the user agree?
-- One row per assertion of a user that follows a model's on the same subject of the same result, replaced
-- ones included. An assertion with several versions counts once: a user's with its last one, a model's as it
-- was first seen. A capture outside an application is no answer to a model.
-- The model says that a subject is there if its probability is above the threshold that the application had
-- when the model spoke (0.5, the vendor's default, where none was set), a user if theirs is above 0.5. They
-- agree if both say the same and, where a text (ocr) or a count was read, the user left the reading as it was;
-- boxes are not compared.
-- Where the model's assertion was replaced before it could be loaded, the probability before the first
-- assertion of a person stands in, provided that the application has a model.
--
--   application_id      Application that holds the assertions.
--   media_id            Media item the assertions are about.
--   focus_key           Region of the media item, as canonical JSON; the empty string stands for the whole
--                       media item.
--   subject_uid         Subject that is asserted to be there, or not.
--   model_id            Model that made the assertion; NULL where its assertion was replaced before it could
--                       be loaded.
--   model_detection_id  Cogniac's id of the model's assertion; NULL where it could not be loaded.
--   model_asserted_at   When the model made its assertion; NULL where it could not be loaded.
--   model_probability   Probability the model had given, 0..1.
--   threshold           Probability above which the application passed a detection of the subject on when the
--                       model made its assertion, 0..1.
--   user_id             User who made the later assertion.
--   user_detection_id   Cogniac's id of the user's assertion.
--   user_asserted_at    When the user made the assertion.
--   user_probability    What the user said, from 0 (not there) to 1 (there).
--   probability_after   Probability of the subject that Cogniac derived from the user's assertion, 0..1.
--   model_reading       Text or count the model read; NULL for other kinds of application data, and where the
--                       assertion could not be loaded.
--   user_reading        Text or count the user read; NULL for other kinds of application data.
--   verdict             confirmed, wrongly seen (the model alone said it was there), overlooked (the user
--                       alone did) or misread (another text or count); NULL where either probability is
--                       missing.
--   is_present          Whether the user said that the subject is there; NULL where the probability is missing.
--   is_last_word        Whether no later assertion of a user on the same assertion of the model is known.
WITH
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
    FROM staging.assertions
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
        uncal_prob,
        reading,
        first_value(prev_prob) OVER (
            PARTITION BY application_id, media_id, focus_key, subject_uid
            ORDER BY asserted_at, detection_id
            ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
        ) AS probability_before
    FROM people
    WHERE version_age = 1
),
-- Each of a user's with the model's before it, the latest first, each in its first version.
pairs AS (
    SELECT
        users.application_id,
        users.media_id,
        users.focus_key,
        users.subject_uid,
        models.model_id,
        models.detection_id AS model_detection_id,
        models.asserted_at AS model_asserted_at,
        CASE
            WHEN models.detection_id IS NULL THEN users.probability_before
            ELSE models.probability
        END AS model_probability,
        users.user_id,
        users.detection_id AS user_detection_id,
        users.asserted_at AS user_asserted_at,
        coalesce(users.uncal_prob, users.probability) AS user_probability,
        users.probability AS probability_after,
        models.reading AS model_reading,
        users.reading AS user_reading,
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
    LEFT JOIN staging.assertions AS models
        ON models.application_id = users.application_id
        AND models.media_id = users.media_id
        AND models.focus_key = users.focus_key
        AND models.subject_uid = users.subject_uid
        AND models.asserted_by = 'model'
        AND models.asserted_at <= users.asserted_at
    WHERE users.asserted_by = 'user'
        AND users.application_id IN (SELECT application_id FROM staging.assertions WHERE asserted_by = 'model')
        AND (models.detection_id IS NOT NULL OR users.probability_before IS NOT NULL)
),
measured AS (
    SELECT
        pairs.application_id,
        pairs.media_id,
        pairs.focus_key,
        pairs.subject_uid,
        pairs.model_id,
        pairs.model_detection_id,
        pairs.model_asserted_at,
        pairs.model_probability,
        coalesce(thresholds.threshold, CAST(0.5 AS DOUBLE)) AS threshold,
        pairs.user_id,
        pairs.user_detection_id,
        pairs.user_asserted_at,
        pairs.user_probability,
        pairs.probability_after,
        pairs.model_reading,
        pairs.user_reading
    FROM pairs
    LEFT JOIN staging.thresholds AS thresholds
        ON thresholds.application_id = pairs.application_id
        AND thresholds.subject_uid = pairs.subject_uid
        AND (
            thresholds.valid_from IS NULL
            OR thresholds.valid_from <= coalesce(pairs.model_asserted_at, pairs.user_asserted_at)
        )
        AND (
            thresholds.valid_to IS NULL
            OR thresholds.valid_to > coalesce(pairs.model_asserted_at, pairs.user_asserted_at)
        )
    WHERE pairs.distance = 1
)
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
    user_probability > 0.5 AS is_present,
    row_number() OVER (
        PARTITION BY application_id, media_id, focus_key, subject_uid, model_detection_id
        ORDER BY user_asserted_at DESC, user_detection_id DESC
    ) = 1 AS is_last_word
FROM measured
