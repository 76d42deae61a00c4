-- Keeps the credential that requests are sent with out of what comes back: some providers repeat it in errors, in the body of a redirection,
-- or in a header. It stands behind the
-- filter that puts the credential in. Before it stand lines that set header, prefix, shortest, redacted and withheld.

local now, before -- the credential, and the one before it was renewed, which may still be in what comes back

function envoy_on_request(handle)
  local headers = handle:headers()
  headers:remove("accept-encoding") -- an error must be plain to be looked through
  local value = headers:get(header)
  if not value then return end
  value = value:sub(#prefix + 1)
  if value ~= now then now, before = value, now end
end

local function without(text, secret)
  if not secret or #secret < shortest then return text end
  for _, form in ipairs({secret, (secret:gsub("/", "\\/"))}) do -- as some write it in JSON
    if text:find(form, 1, true) then text = text:gsub(form:gsub("%W", "%%%0"), redacted) end
  end
  return text
end

local function clean(text) return without(without(text, now), before) end

function envoy_on_response(handle)
  local headers = handle:headers()
  local status = tonumber(headers:get(":status"))
  local changed = {}
  for name, value in pairs(headers) do
    if clean(value) ~= value then changed[name] = clean(value) end
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
  elseif clean(text) ~= text then
    body:setBytes(clean(text))
  end
end
