-- How many gaps there are.
SELECT count(*)
FROM etl.gaps
