-- A threshold holds until the application has another one for the subject, or does not assert it any more.
UPDATE cogniac.threshold_history AS kept
SET valid_to = written.changed_at, _run_id = $run_id, _loaded_at = written._loaded_at
FROM (SELECT DISTINCT application_id, changed_at, _loaded_at FROM configured_thresholds) AS written
WHERE kept.application_id = written.application_id
    AND kept.valid_to IS NULL
    AND NOT EXISTS (
        SELECT 1
        FROM configured_thresholds AS configured
        WHERE configured.application_id = kept.application_id
            AND configured.subject_uid = kept.subject_uid
            AND configured.threshold IS NOT DISTINCT FROM kept.threshold
    )
