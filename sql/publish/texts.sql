-- How many bytes the texts of a table have in all, and where texts stand that are longer than this: rows from the first to
-- before the last, the longest text among them, and the bytes of all. DuckDB keeps these for each segment of a column.
WITH segments AS (
    SELECT
        count,
        sum(count) OVER (PARTITION BY column_id, column_path ORDER BY row_group_id, start) AS until,
        TRY_CAST(regexp_extract(CAST(stats AS VARCHAR), 'max_string_length\D+(\d+)', 1) AS UBIGINT) AS longest,
        TRY_CAST(regexp_extract(CAST(stats AS VARCHAR), 'total_string_length\D+(\d+)', 1) AS UBIGINT) AS bytes
    FROM pragma_storage_info($table)
    WHERE segment_type IN ('VARCHAR', 'JSON')
)

SELECT
    CAST(coalesce(sum(bytes), 0) AS UBIGINT) AS bytes,
    coalesce(list([until - count, until, longest, bytes]) FILTER (WHERE longest > $longest), []) AS wide
FROM segments
