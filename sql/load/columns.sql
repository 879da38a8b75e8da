-- The columns that the tables of one schema have at present.
SELECT table_name, column_name, data_type, comment
FROM duckdb_columns()
WHERE schema_name = $schema AND database_name = current_database()
ORDER BY table_name, column_index
