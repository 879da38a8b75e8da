-- What can be asked: each view with its comment, and its columns in their order.
SELECT
    asked.schema_name,
    asked.table_name,
    any_value(views.comment) AS about,
    list(
        {'name': asked.column_name, 'type': asked.data_type, 'about': asked.comment}
        ORDER BY asked.column_index
    ) AS columns
FROM duckdb_columns() AS asked
INNER JOIN duckdb_views() AS views
    ON asked.schema_name = views.schema_name
    AND asked.table_name = views.view_name
    AND asked.database_name = views.database_name
WHERE NOT views.internal
GROUP BY asked.schema_name, asked.table_name
ORDER BY asked.schema_name, asked.table_name
