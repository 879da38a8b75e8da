-- The tenants whose applications are stored.
SELECT DISTINCT tenant_id
FROM cogniac.applications
WHERE tenant_id IS NOT NULL
