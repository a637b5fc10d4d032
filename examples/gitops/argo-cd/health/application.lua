-- Health of an Application within another one; without it, sync waves of the root wait for nothing.
local health = (obj.status or {}).health or {}
return {status = health.status or "Progressing", message = health.message or ""}
