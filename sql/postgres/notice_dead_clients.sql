-- Let the server end what a killed client has asked for; servers before version 14 cannot.
SELECT set_config(name, '2s', false)
FROM pg_settings
WHERE name = 'client_connection_check_interval'
