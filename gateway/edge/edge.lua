-- What the edge does to every request and answer, ahead of all other filters.
--
-- Requests: remove the headers that only the mesh may set, and from REST those that gRPC would read as its own or
-- choke on; remember the path as it was sent; drop a trailing slash (a path template cannot end in one); refuse a body that says it is far
-- too large before it is sent.  Under /mesh/v1, which goes straight to services that know no HTTP: answer HEAD as GET, and let
-- no cookie count on pages of other sites.
-- Answers: turn x-http-code and x-http-body, which only the gateway's servicers can send (routes to other clusters
-- remove them), into a status and a body; name the type of streams under /mesh/v1.

-- Twice what the gateway takes: a body that is a little too large is read to its end before it is refused, as a client that
-- is cut off while it sends may not see the answer.
local BODY_BYTES_MAX = 8388608
local OURS = {
  "x-mesh-service", "x-mesh-path", "x-mesh-base-url", "x-mesh-user", "x-mesh-tier",
  "x-http-code", "x-http-body", "x-envoy-original-path", "x-envoy-original-method",
}
local GRPC = { "grpc-status", "grpc-message", "grpc-accept-encoding", "grpc-encoding" }
local WITHOUT_BODY = { ["204"] = true, ["205"] = true, ["304"] = true }

local TYPED = "/mesh/v1/"

local function is_grpc(headers)
  local kind = headers:get("content-type")
  return kind ~= nil and string.sub(kind, 1, 16) == "application/grpc"
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

local function is_foreign(headers)
  local origin = string.lower(headers:get("origin") or "")
  local host = string.lower(headers:get(":authority") or "")
  return origin ~= "" and origin ~= "http://" .. host and origin ~= "https://" .. host
end

function envoy_on_request(handle)
  local headers = handle:headers()
  for _, name in ipairs(OURS) do
    headers:remove(name)
  end
  local target = headers:get(":path")
  headers:replace("x-mesh-path", target)
  if is_grpc(headers) then
    return
  end
  if headers:get(":method") == "HEAD" then
    handle:streamInfo():dynamicMetadata():set("edge", "head", true)
  end
  remove_grpc(headers)
  local length = tonumber(headers:get("content-length") or "0")
  if length and length > BODY_BYTES_MAX then
    handle:respond({ [":status"] = "413" }, "")
    return
  end
  local path, query = string.match(target, "^([^?]*)(.*)$")
  if #path > 1 and string.sub(path, -1) == "/" then
    path = string.gsub(path, "/+$", "", 1)
    headers:replace(":path", (path == "" and "/" or path) .. query)
  end
  if string.sub(path, 1, #TYPED) == TYPED then
    if is_foreign(headers) and not headers:get("upgrade") then  -- the gateway judges those who want a WebSocket
      headers:remove("cookie")
    end
    -- A stream has no head that could be known before its end.
    if headers:get(":method") == "HEAD" and string.sub(path, -6) ~= ":watch" then
      headers:replace(":method", "GET")
      handle:streamInfo():dynamicMetadata():set("edge", "as_get", true)
    end
  end
end

function envoy_on_response(handle)
  local headers = handle:headers()
  if is_grpc(headers) then
    return
  end
  if headers:get("x-mesh-lines") then
    headers:remove("x-mesh-lines")
    if headers:get(":status") == "200" then
      headers:replace("content-type", "application/x-ndjson")
    end
  end
  local code = headers:get("x-http-code")
  local body = headers:get("x-http-body")
  local head = handle:streamInfo():dynamicMetadata():get("edge")
  if head and (head["as_get"] or code or body or headers:get("grpc-status")) then
    body = ""  -- a transcoded answer has a body, which the client of a HEAD would take for the next answer
  end
  for _, name in ipairs(GRPC) do
    headers:remove(name)
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
    if body == "" then
      if not head then
        headers:remove("content-type")
      end
    else
      headers:replace("content-type", "application/json")
    end
    -- Waits for the whole body; `headers` may not be used behind it.
    handle:body(true):setBytes(body)
  end
end
