-- Above which probability does each application pass a detection of a subject on?
-- One row per application and subject for which one is set; where there is none, 0.5 counts, the vendor's
-- default.
--
--   application_id  Application that sets the threshold.
--   subject_uid     Subject it is set for.
--   threshold       Probability above which a detection of the subject is passed on, 0..1; NULL where what was
--                   set is no number.
SELECT
    application_id,
    subject_uid,
    threshold
FROM cogniac.application_thresholds
