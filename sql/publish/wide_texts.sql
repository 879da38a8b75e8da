-- Where in a table texts stand that are longer than this: rows from the first to before the last, the longest text among
-- them, and the bytes of all. DuckDB keeps these figures for each segment of a column.
WITH segments AS (
    SELECT
        count,
        sum(count) OVER (PARTITION BY column_id, column_path ORDER BY row_group_id, start) AS until,
        TRY_CAST(variant_extract(stats, 'max_string_length') AS UBIGINT) AS longest,
        TRY_CAST(variant_extract(stats, 'total_string_length') AS UBIGINT) AS bytes
    FROM pragma_storage_info($table)
    WHERE segment_type IN ('VARCHAR', 'JSON')
)

SELECT
    until - count AS first,
    until,
    longest,
    bytes
FROM segments
WHERE longest > $longest
