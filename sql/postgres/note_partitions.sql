-- Note what the tables that have changed hold now.
INSERT INTO etl.published_partitions
SELECT
    table_name,
    partition_name,
    shape,
    since,
    begins_at,
    ends_at,
    nul_characters
FROM json_to_recordset($1::text::json) AS noted (
    table_name text,
    partition_name text,
    shape text,
    since text,
    begins_at bigint,
    ends_at bigint,
    nul_characters bigint
)
