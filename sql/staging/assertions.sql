-- Who asserted what, and when, in each version of an assertion ever seen?
-- One row per version of an assertion, replaced ones included.
--
--   application_id  Application that holds the assertion.
--   media_id        Media item the assertion is about.
--   focus_key       Region of the media item, as canonical JSON; the empty string stands for the whole media
--                   item.
--   subject_uid     Subject that is asserted to be there, or not.
--   detection_id    Cogniac's id of the assertion.
--   asserted_by     Who asserts: model, user or capture (a user, outside any application).
--   user_id         User who made the assertion; NULL for a model's.
--   model_id        Model that made the assertion; NULL for a user's.
--   asserted_at     When the assertion was made; where Cogniac did not say, from when the version held.
--   prev_prob       Probability of the subject before the assertion, 0..1.
--   probability     Probability of the subject after the assertion, 0..1.
--   uncal_prob      Probability as asserted, 0..1.
--   reading         Text or count that was read, a count as a number; NULL for other kinds of application
--                   data.
--   valid_from      From when the version held.
--   valid_to        Until when the version held; NULL for one that still does.
--   revision        Counts the versions of the assertion that share one valid_from, from 0.
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
    reading,
    valid_from,
    valid_to,
    revision
FROM cogniac.detection_history
