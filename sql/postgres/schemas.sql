-- Which of these schemas are here.
SELECT name
FROM json_array_elements_text($1::text::json) AS names (name)
WHERE to_regnamespace(name) IS NOT NULL
