-- In which time zone do the days of this report begin?
SELECT time_zone
FROM mart.settings
