-- Replaced rows that are still on the disk, for an open transaction sees them: counted by the last VACUUM.
SELECT coalesce(sum(n_dead_tup), 0)::bigint
FROM pg_stat_user_tables
WHERE format('%s.%s', schemaname, relname) IN (SELECT json_array_elements_text($1::text::json))
