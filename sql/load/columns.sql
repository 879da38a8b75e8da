-- The columns that all tables have at present.
SELECT schema_name || '.' || table_name, column_name, data_type, comment, is_nullable
FROM duckdb_columns()
WHERE database_name = current_database() AND NOT internal
ORDER BY schema_name, table_name, column_index
