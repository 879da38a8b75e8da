-- Bind a source to an account.
MERGE INTO etl.accounts AS kept
USING (
    SELECT
        $source AS source,
        $account AS account,
        CAST($now AS TIMESTAMPTZ) AS bound_at,
        $run_id AS run_id
) AS now
ON (kept.source = now.source)
WHEN MATCHED THEN UPDATE SET account = now.account, bound_at = now.bound_at, run_id = now.run_id
WHEN NOT MATCHED THEN INSERT BY NAME
