-- Health of an InferenceWorkspace. Argo CD gives `obj`, and of the libraries neither string nor math.
local status = obj.status or {}
local generation = (obj.metadata or {}).generation or 0

if status.conditions == nil or (status.observedGeneration or 0) < generation then
  return {status = "Progressing", message = "The operator has not looked at this version yet"}
end

local conditions = {}
for _, condition in ipairs(status.conditions) do
  conditions[condition.type] = condition
end

local function holds(type)
  return conditions[type] ~= nil and conditions[type].status == "True"
end

local function health(verdict, type)
  local condition = conditions[type]
  return {status = verdict, message = condition.reason .. ": " .. (condition.message or "")}
end

if holds("Stalled") then
  return health("Degraded", "Stalled")
elseif holds("Ready") and conditions.Ready.reason == "SwitchedOff" then
  return health("Suspended", "Ready")
elseif holds("Ready") then
  local refused = conditions.RevisionsAccepted
  if refused ~= nil and refused.status == "False" then
    return health("Healthy", "RevisionsAccepted")
  end
  return health("Healthy", "Ready")
elseif conditions.Ready ~= nil then
  return health("Progressing", "Ready")
end
return {status = "Progressing", message = "The operator has said nothing of how it goes yet"}
