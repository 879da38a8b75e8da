-- Bind a source to an account; once it holds data of several, it always will.
MERGE INTO etl.accounts AS kept
USING (
    SELECT
        $source AS source,
        $account AS account,
        CAST($is_mixed AS BOOLEAN) AS is_mixed,
        CAST($now AS TIMESTAMPTZ) AS bound_at,
        $run_id AS run_id
) AS now
ON (kept.source = now.source)
WHEN MATCHED THEN UPDATE SET account = now.account, is_mixed = kept.is_mixed OR now.is_mixed, bound_at = now.bound_at, run_id = now.run_id
WHEN NOT MATCHED THEN INSERT BY NAME
