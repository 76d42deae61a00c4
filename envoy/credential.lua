-- Keeps the credential that requests are sent with out of what comes back: some providers repeat it in errors, in the body of a redirection,
-- or in a header. It stands behind the filter that puts the credential in. Before it stand lines that set header, prefix, shortest, redacted
-- and withheld.

local credential
local forms, before = {}, {} -- how it may be written, and how the one that it has taken the place of, which may still be in what comes back

local function formsOf(secret)
  if #secret < shortest then return {} end
  local escaped = secret:gsub("/", "\\/") -- as some write it in JSON
  local all = {}
  for _, text in ipairs(escaped == secret and {secret} or {secret, escaped}) do
    all[#all + 1] = {text = text, pattern = text:gsub("%W", "%%%0")}
  end
  return all
end

function envoy_on_request(handle)
  local headers = handle:headers()
  headers:remove("accept-encoding") -- an error must be plain to be looked through
  local value = headers:get(header)
  if not value then return end
  value = value:sub(#prefix + 1)
  if value ~= credential then credential, forms, before = value, formsOf(value), forms end
end

local function clean(text)
  for _, list in ipairs({forms, before}) do
    for _, form in ipairs(list) do
      if text:find(form.text, 1, true) then text = text:gsub(form.pattern, redacted) end
    end
  end
  return text
end

function envoy_on_response(handle)
  local headers = handle:headers()
  local status = tonumber(headers:get(":status"))
  local changed = {}
  for name, value in pairs(headers) do
    local cleaned = clean(value)
    if cleaned ~= value then changed[name] = cleaned end
  end
  for name, value in pairs(changed) do headers:replace(name, value) end
  if status < 300 then return end
  local body = handle:body()
  if not body then return end
  headers = handle:headers() -- the one from before the wait is of no use any more
  local encoding = headers:get("content-encoding")
  local text = body:getBytes(0, body:length())
  if encoding and encoding:lower() ~= "identity" then
    headers:remove("content-encoding")
    headers:replace("content-type", "application/json")
    body:setBytes(withheld)
  else
    local cleaned = clean(text)
    if cleaned ~= text then body:setBytes(cleaned) end
  end
end
