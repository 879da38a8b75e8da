-- Which of these tables are here, whoever has made them.
SELECT name
FROM json_array_elements_text($1::text::json) AS names (name)
WHERE to_regclass(name) IS NOT NULL
