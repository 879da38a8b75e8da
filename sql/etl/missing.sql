-- An empty list of gaps, to be filled with those that are there now.
CREATE OR REPLACE TEMP TABLE missing AS
SELECT source, stream, key, what, error
FROM etl.gaps
LIMIT 0
