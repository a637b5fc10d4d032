-- Health of a FineTuneJob. Argo CD gives `obj`, and of the libraries neither string nor math.
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
  local message = condition.reason .. ": " .. (condition.message or "")
  if verdict == "Progressing" and status.progress ~= nil then
    message = "step " .. status.progress.steps .. ", " .. message
  end
  return {status = verdict, message = message}
end

if holds("Stalled") then
  return health("Degraded", "Stalled")
elseif holds("Succeeded") then
  return health("Healthy", "Succeeded")
elseif holds("Reconciling") then
  return health("Progressing", "Reconciling")
elseif holds("Suspended") then
  return health("Suspended", "Suspended")
end
return {status = "Progressing", message = "The operator has said nothing of how it goes yet"}
