-- What the edge does to every request and answer, ahead of all other filters.
--
-- Requests: refuse names and pages that are not ours (`origins.lua`); refuse or join what came in several lines; remove the
-- headers that only the mesh may set, and from REST those that gRPC would read as its own or choke on; remember the path as
-- it was sent; drop a trailing slash (a path template cannot end in one); refuse a body that says it is far too large, or
-- encoded in a way that nobody behind decodes, before it is sent; ask for the whole answer where only its head is wanted.
-- Answers: turn x-http-code, x-http-body and x-http-type, which only the gateway's servicers can send (routes to other clusters
-- remove them), into a status and a body; say when to try again after too many requests; send no body where only the head was
-- asked for; name the type of streams under /mesh/v1; tell browsers to take an answer for what it says it is.
--
-- `filters.py` puts these in front: BODY_BYTES_MAX, of a body that Envoy reads at all; SINGLE, headers that may come once;
-- ENCODINGS, of bodies that dialects decode; CASELESS, paths in which case does not matter.

local OURS = {
  "x-mesh-service", "x-mesh-path", "x-mesh-base-url", "x-mesh-user", "x-mesh-tier", "x-mesh-head",
  "x-mesh-edge", "x-mesh-address", "x-mesh-foreign", "x-mesh-connect", "x-mesh-check",
  "x-mesh-connect-type", "x-mesh-connect-version",
  "x-http-code", "x-http-body", "x-http-type", "x-envoy-original-path", "x-envoy-original-method",
}
local GRPC = { "grpc-status", "grpc-message", "grpc-accept-encoding", "grpc-encoding" }
local RATE = { "ratelimit-limit", "ratelimit-remaining", "ratelimit-reset" }  -- without the x-, as the IETF's draft has them
-- Of every answer but gRPC's.  Not no-referrer: with it a browser calls the origin of our own forms null.
local BROWSERS = { ["x-content-type-options"] = "nosniff", ["referrer-policy"] = "same-origin" }
local WITHOUT_BODY = { ["204"] = true, ["205"] = true, ["304"] = true }

local TYPED = "/mesh/v1/"
local APPS = "/-/"
local WATCH = ":watch"

-- As `contract.GRPC` has it: what merely begins like it is no gRPC, to Envoy neither.
local function is_grpc(headers)
  local rest = string.match(headers:get("content-type") or "", "^application/grpc(.*)$")
  if not rest then
    return false
  end
  local web = string.match(rest, "^%-web(.*)$")
  if web then
    web = string.match(web, "^%-text(.*)$") or web
    return web == "" or web == "+proto"
  end
  return rest == "" or string.sub(rest, 1, 1) == "+"
end

local function remove_grpc(headers)
  local found = {}
  for name, _ in pairs(headers) do
    local speakable = string.match(name, "^:?[%w_%.%-]+$")  -- HTTP allows more in a name than gRPC does
    if not speakable or string.sub(name, 1, 5) == "grpc-" or string.sub(name, -4) == "-bin" then
      found[#found + 1] = name
    end
  end
  for _, name in ipairs(found) do
    headers:remove(name)
  end
end

local function contains(list, wanted)
  for _, item in ipairs(list) do
    if item == wanted then
      return true
    end
  end
  return false
end

-- Returns the name of a header that came more often than it may; joins the others (RFC 9110 5.3), of which gRPC, and what
-- reads its metadata into a dictionary, would drop all but one.  Envoy itself joins those it knows with commas; cookies have
-- a separator of their own.
local function repeated(headers)
  local seen, twice = {}, {}
  for name, _ in pairs(headers) do
    if seen[name] then
      twice[name] = true
    end
    seen[name] = true
  end
  for name, _ in pairs(twice) do
    if contains(SINGLE, name) then
      return name
    end
    local values = {}
    for index = 0, headers:getNumValues(name) - 1 do
      values[#values + 1] = headers:getAtIndex(name, index)
    end
    headers:replace(name, table.concat(values, name == "cookie" and "; " or ", "))
  end
  return nil
end

-- Returns how a body is encoded, by its one name; empty for one that is as it is.
local function encoding(headers)
  local name = string.gsub(string.lower(headers:get("content-encoding") or ""), "^x%-gzip$", "gzip")
  if name == "" or name == "identity" then
    return ""
  end
  headers:replace("content-encoding", name)
  return name
end

local known_cases = {}
for _, pattern in ipairs(CASELESS) do
  known_cases[#known_cases + 1] = segments(pattern)
end

-- Returns the path as a pattern of `cases.py` writes it: `*` is any segment, `**` at the end any number.
local function in_known_case(path)
  local sent, lower = segments(path), segments(string.lower(path))
  for _, known in ipairs(known_cases) do
    local open = known[#known] == "**"
    if #sent == #known or (open and #sent >= #known) then
      local made = {}
      for index, segment in ipairs(sent) do
        local literal = known[index] or "**"
        if literal == "*" or literal == "**" then
          made[index] = segment
        elseif string.lower(literal) == lower[index] then
          made[index] = literal
        else
          made = nil
          break
        end
      end
      if made then
        return "/" .. table.concat(made, "/")
      end
    end
  end
  return path
end

function envoy_on_request(handle)
  local headers = handle:headers()
  for _, name in ipairs(OURS) do
    headers:remove(name)
  end
  local target = headers:get(":path")
  headers:replace("x-mesh-path", target)
  local grpc = is_grpc(headers)
  local call = connect_call(headers, target)
  if call then
    tell_call(headers, call, target)
    handle:streamInfo():dynamicMetadata():set("edge", "connect", call)
  end
  if refuse_name(handle, headers, grpc) then
    return
  end
  local name = repeated(headers)
  if name then
    handle:respond({ [":status"] = "400" }, "header " .. name .. " came more than once: send it in one line")
    return
  end
  if grpc then
    if string.sub(target, 1, #APPS) ~= APPS then
      headers:remove("connect-protocol-version")  -- the bridge takes what has it for a call
    end
    if not share(handle, headers, target) then
      refuse_page(handle, headers, target, grpc)
    end
    return
  end
  remove_grpc(headers)
  local path, query = string.match(target, "^([^?]*)(.*)$")
  if #path > 1 and string.sub(path, -1) == "/" then
    path = string.gsub(path, "/+$", "", 1)
    headers:replace(":path", (path == "" and "/" or path) .. query)
  end
  local known = in_known_case(path)
  if known ~= path then
    path = known
    headers:replace(":path", path .. query)
    headers:replace("x-mesh-path", path .. query)
  end
  if share(handle, headers, path) or refuse_page(handle, headers, path, grpc) then
    return
  end
  local bridged = call and call ~= "gateway"
  if call == "gateway" then
    hand_over(headers, path)
  elseif not bridged and string.sub(path, 1, #APPS) ~= APPS then
    headers:remove("connect-protocol-version")
  end
  if not call and is_method(target) then
    handle:respond({ [":status"] = "415" }, "a method is called in application/json, application/proto or gRPC")
    return
  end
  local length = tonumber(headers:get("content-length") or "0")
  if length and length > BODY_BYTES_MAX then
    handle:respond({ [":status"] = "413" }, "")
    return
  end
  local typed = call ~= nil or string.sub(path, 1, #TYPED) == TYPED
  local encoded = encoding(headers)
  if encoded ~= "" and call ~= "gateway" and (typed or not contains(ENCODINGS, encoded)) then
    local known = typed and "identity" or table.concat(ENCODINGS, ", ")
    local remedy = typed and "" or " or encoded as " .. table.concat(ENCODINGS, " or ")
    local text = "content-encoding " .. encoded .. " is not decoded here: send the body as it is" .. remedy
    handle:respond({ [":status"] = "415", ["accept-encoding"] = known }, text)
    return
  end
  if bridged then
    begin_connect(handle, headers, call)
    return
  end
  if headers:get(":method") == "HEAD" then
    handle:streamInfo():dynamicMetadata():set("edge", "head", true)
    if string.sub(path, 1, #APPS) ~= APPS then  -- an app may tell them apart
      headers:replace(":method", "GET")
      headers:add("x-mesh-head", "1")
    end
    if typed and string.sub(path, -#WATCH) == WATCH then
      -- A service would stream to the end for nobody: ask for what would be watched.
      headers:replace(":path", string.sub(path, 1, -#WATCH - 1) .. query)
      handle:streamInfo():dynamicMetadata():set("edge", "lines", true)
    end
  end
end

function envoy_on_response(handle)
  local headers = handle:headers()
  if headers:get("x-mesh-limited") then  -- by our rate limiter, which says when the bucket is filled up again
    headers:remove("x-mesh-limited")
    -- Envoy counts what is left when it answers, which may be later than it refused: the bucket is not empty any more.
    if headers:get("x-ratelimit-remaining") then
      headers:replace("x-ratelimit-remaining", "0")
    end
    local seconds = tostring(math.max(1, tonumber(headers:get("x-ratelimit-reset") or "1") or 1))
    headers:replace("x-ratelimit-reset", seconds)
    headers:replace("retry-after", seconds)
  end
  local seen = handle:streamInfo():dynamicMetadata():get("edge") or {}
  if seen["shared"] then
    show_to_page(headers, seen["shared"])
  end
  if is_grpc(headers) or seen["grpc"] then
    return
  end
  for name, value in pairs(BROWSERS) do
    if not headers:get(name) then
      headers:add(name, value)
    end
  end
  local head = seen["head"]
  if headers:get("x-mesh-lines") or seen["lines"] then
    headers:remove("x-mesh-lines")
    if headers:get(":status") == "200" then
      headers:replace("content-type", "application/x-ndjson")
      headers:remove("content-length")
    end
  end
  local code = headers:get("x-http-code")
  local body = headers:get("x-http-body")
  for _, name in ipairs(GRPC) do
    headers:remove(name)
  end
  for _, name in ipairs(RATE) do
    local value = headers:get("x-" .. name)
    if value then
      headers:replace(name, value)
    end
  end
  local call = seen["connect"]
  if call and body then
    answer_connect_error(handle, headers, call, body)
    return
  end
  if call and call ~= "stream" and not head and headers:get(":status") ~= "200" then
    mend_connect_error(handle, headers:get(":status"))
    return
  end
  if code then
    headers:remove("x-http-code")
    headers:replace(":status", code)
    if WITHOUT_BODY[code] then
      body = ""
    end
  end
  if body then
    headers:remove("x-http-body")
    local kind = headers:get("x-http-type")
    headers:remove("x-http-type")
    if body ~= "" then
      headers:replace("content-type", kind or "application/json")
    elseif not head then
      headers:remove("content-type")
    end
  end
  local length = headers:get("x-mesh-length")
  headers:remove("x-mesh-length")
  if head then
    length = body and tostring(#body) or length
    if length then
      headers:replace("content-length", length)
    end
    -- The client would take a body for the next answer.
    for chunk in handle:bodyChunks() do
      chunk:setBytes("")
    end
  elseif body then
    -- Waits for the whole body; `headers` may not be used behind it.
    handle:body(true):setBytes(body)
  end
end
