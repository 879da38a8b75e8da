-- Note what became of a column.
INSERT INTO etl.migrations BY NAME
SELECT
    now() AS migrated_at,
    $table_name AS table_name,
    $column_name AS column_name,
    $change AS change,
    $moved_rows AS moved_rows,
    $left_rows AS left_rows,
    $version AS version
