-- Above which probability did each application pass a detection of a subject on, and when?
-- One row per application, subject that it asserts and threshold that held for a time; where none was set, 0.5
-- counts, the vendor's default. What held before the first load is not known: what held then stands for it.
--
--   application_id  Application that sets the threshold.
--   subject_uid     Subject it is set for.
--   threshold       Probability above which a detection of the subject is passed on, 0..1; NULL where none was
--                   set, or no number.
--   valid_from      From when it held; NULL for the first one that is known.
--   valid_to        Until when it held; NULL for the one that still does.
SELECT
    application_id,
    subject_uid,
    threshold,
    CASE
        WHEN row_number() OVER (PARTITION BY application_id, subject_uid ORDER BY valid_from) > 1
        THEN valid_from
    END AS valid_from,
    valid_to
FROM cogniac.threshold_history
