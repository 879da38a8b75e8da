-- Above which probability does each application pass a detection of a subject on?
-- One row per application and subject for which one is set; where there is none, 0.5 counts, the vendor's
-- default.
--
--   application_id  Application that sets the threshold.
--   subject_uid     Subject it is set for.
--   threshold       Probability above which a detection of the subject is passed on, 0..1; NULL where what was
--                   set is no number.
WITH
-- JSON: the map from subject to threshold as rows; a threshold is sent as a number or as text.
configured AS (
    SELECT
        application_id,
        unnest(json_keys(detection_thresholds)) AS subject_uid,
        unnest(json_extract_string(detection_thresholds, '$.*')) AS threshold_text
    FROM cogniac.applications
)
SELECT
    application_id,
    subject_uid,
    TRY_CAST(threshold_text AS DOUBLE) AS threshold
FROM configured
