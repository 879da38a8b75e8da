-- Of each table the columns whose values are in `_extra`, for they are not declared any more, or otherwise.
SELECT table_name, list(DISTINCT column_name)
FROM etl.migrations
WHERE change IN ('removed', 'retyped')
GROUP BY table_name
