-- The version of Sightglass that wrote into the warehouse last.
SELECT version
FROM etl.runs
ORDER BY rowid DESC
LIMIT 1
