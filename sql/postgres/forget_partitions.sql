-- Take out what is known of the tables that have changed.
DELETE FROM etl.published_partitions
WHERE table_name IN (SELECT json_array_elements_text($1::text::json))
