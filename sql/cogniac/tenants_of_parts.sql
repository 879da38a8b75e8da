-- The tenants whose subjects and media are stored, those who only share them among them.
SELECT tenant_id
FROM cogniac.subjects
WHERE tenant_id IS NOT NULL
UNION
SELECT tenant_id
FROM cogniac.media
WHERE tenant_id IS NOT NULL
