-- What of the server must be right: its encoding, and that it takes changes.
SELECT
    current_setting('server_encoding'),
    pg_is_in_recovery()
