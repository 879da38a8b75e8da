-- Pictures and films that nobody wants to be archived any more are not missing.
UPDATE neurons.assets
SET error = NULL, _run_id = $run_id, _loaded_at = $now
WHERE state = 'skipped'
    AND error IS NOT NULL
    AND NOT CAST($all_wanted AS BOOLEAN)
    AND NOT list_contains(CAST($wanted AS VARCHAR[]), asset)
