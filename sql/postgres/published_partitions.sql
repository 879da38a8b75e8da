-- The partitions of those tables that are still here.
SELECT
    table_name,
    partition_name,
    shape,
    since,
    begins_at,
    ends_at,
    nul_characters
FROM etl.published_partitions
WHERE to_regclass(table_name) IS NOT NULL
