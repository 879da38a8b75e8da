-- What is configured and does not hold yet holds from now on.
INSERT INTO cogniac.threshold_history
    (application_id, subject_uid, valid_from, valid_to, threshold, _run_id, _loaded_at)
SELECT application_id, subject_uid, changed_at, NULL, threshold, $run_id, _loaded_at
FROM configured_thresholds AS configured
WHERE subject_uid IS NOT NULL
    AND NOT EXISTS (
        SELECT 1
        FROM cogniac.threshold_history AS kept
        WHERE kept.application_id = configured.application_id
            AND kept.subject_uid = configured.subject_uid
            AND kept.valid_to IS NULL
    )
