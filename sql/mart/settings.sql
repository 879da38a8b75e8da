-- By which settings do the marts answer?
-- One row.
--
--   time_zone  Time zone in which days and weeks begin, in all marts and in the report
--              (SIGHTGLASS_TIME_ZONE).
SELECT 'UTC' AS time_zone
