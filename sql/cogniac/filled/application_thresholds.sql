-- The thresholds of the applications that were loaded before there was a table of them: what the source would
-- have made of the map, whose values are numbers or texts that hold one.
WITH configured AS (
    SELECT
        application_id,
        unnest(json_keys(detection_thresholds)) AS subject_uid,
        unnest(json_extract_string(detection_thresholds, '$.*')) AS threshold_text,
        _run_id,
        _loaded_at
    FROM cogniac.applications
)
SELECT
    application_id,
    subject_uid,
    CASE
        WHEN isfinite(TRY_CAST(threshold_text AS DOUBLE)) THEN TRY_CAST(threshold_text AS DOUBLE)
    END AS threshold,
    _run_id,
    _loaded_at
FROM configured
