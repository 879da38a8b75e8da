-- Keep what somebody has confirmed and no run has used: that was told to no run.
MERGE INTO etl.confirmations AS kept
USING (
    SELECT *
    FROM former.etl.confirmations
    WHERE source = $source AND confirmed_at IS NOT NULL
) AS said
ON (kept.source = said.source AND kept.what = said.what)
WHEN MATCHED THEN UPDATE SET confirmed_at = said.confirmed_at
WHEN NOT MATCHED AND said.held IS NULL THEN INSERT BY NAME
