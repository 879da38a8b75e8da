-- Where did people overrule the model?
-- One row per assertion of a user that follows a model's on the same subject of the same result, with the
-- names of both. What counts as such a pair, and when the two agree, is told in staging.reviewed_pairs.
--
--   application_id      Application that holds the assertions.
--   application_name    Name people gave the application.
--   media_id            Media item the assertions are about.
--   focus_key           Region of the media item, as canonical JSON; the empty string stands for the whole
--                       media item.
--   subject_uid         Subject that is asserted to be there, or not.
--   subject_name        Name of the subject.
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
--   agreed              Whether the user agreed with the model: the verdict is confirmed.
--   is_last_word        Whether no later assertion of a user on the same assertion of the model is known.
SELECT
    pairs.application_id,
    applications.name AS application_name,
    pairs.media_id,
    pairs.focus_key,
    pairs.subject_uid,
    subjects.name AS subject_name,
    pairs.model_id,
    pairs.model_detection_id,
    pairs.model_asserted_at,
    pairs.model_probability,
    pairs.threshold,
    pairs.user_id,
    pairs.user_detection_id,
    pairs.user_asserted_at,
    pairs.user_probability,
    pairs.probability_after,
    pairs.model_reading,
    pairs.user_reading,
    pairs.verdict,
    pairs.verdict = 'confirmed' AS agreed,
    pairs.is_last_word
FROM staging.reviewed_pairs AS pairs
LEFT JOIN cogniac.applications AS applications ON applications.application_id = pairs.application_id
LEFT JOIN cogniac.subjects AS subjects ON subjects.subject_uid = pairs.subject_uid
