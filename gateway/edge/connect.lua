-- Calls of the Connect protocol (https://connectrpc.com/docs/protocol), ahead of the filters that make gRPC of them: Envoy's
-- bridge of binary ones, the transcoder of unary JSON.  What a call is decides its content type.
--
-- A call is "proto" or "json" (unary, with a codec), "stream" (binary; the bridge has no other), "" for what is Connect but
-- not spoken here, nil for what is none.

local METHOD = "^/[%w_]+%.[%w_%.]+/[%w_]+/*$"  -- no REST path of ours has this dot; a slash at the end is dropped
local OURS_ONLY = "^/mesh%."

-- Of an error, by its code: https://connectrpc.com/docs/protocol#error-codes
local CONNECT_STATUS = {
  canceled = "499", unknown = "500", invalid_argument = "400", deadline_exceeded = "504", not_found = "404",
  already_exists = "409", permission_denied = "403", resource_exhausted = "429", failed_precondition = "400",
  aborted = "409", out_of_range = "400", unimplemented = "501", internal = "500", unavailable = "503",
  data_loss = "500", unauthenticated = "401",
}
local HTTP_CODES = { ["404"] = "unimplemented", ["405"] = "unimplemented" }  -- of the web app, which knows no such path
local KEPT = { ["405"] = true, ["413"] = true, ["415"] = true, ["421"] = true, ["431"] = true }  -- the edge's own, and telling
local GRPC_CODES = {
  "canceled", "unknown", "invalid_argument", "deadline_exceeded", "not_found", "already_exists", "permission_denied",
  "resource_exhausted", "failed_precondition", "aborted", "out_of_range", "unimplemented", "internal", "unavailable",
  "data_loss", "unauthenticated",
}

local function is_method(headers, target)
  return headers:get(":method") == "POST" and string.match(string.match(target, "^[^?]*"), METHOD) ~= nil
end

local function connect_call(headers, target)
  if not is_method(headers, target) then
    return nil
  end
  local kind = string.match(string.lower(headers:get("content-type") or ""), "^%s*([^;%s]+)")
  if kind == "application/proto" then
    return "proto"
  end
  if kind and string.match(kind, "^application/connect%+") then
    return kind == "application/connect+proto" and "stream" or ""
  end
  return kind == "application/json" and string.match(target, OURS_ONLY) and "json" or nil
end

-- Tells the filters behind of a call.  A message that does not say how large it is counts as large.
local function tell_call(headers, call)
  local is_small = call == "stream" or string.match(headers:get("content-length") or "", "^%d%d?%d?%d?$")
  headers:replace("x-mesh-connect", is_small and call or call .. "-large")
end

-- Makes what is left of the head of a binary call fit for the bridge; refuses one that it would make nonsense of.
local function begin_connect(handle, headers, call)
  if call == "" then
    handle:respond({ [":status"] = "415" }, "streams are spoken in application/connect+proto only")
    return
  end
  local length = headers:get("content-length")
  headers:remove("content-length")  -- a frame is longer
  if call == "proto" then
    headers:replace("content-type", "application/proto")
    headers:replace("connect-protocol-version", "1")
    if length == "0" then
      handle:body(true)  -- a message without fields is a body of no bytes: the bridge frames bodies only
    end
  end
end

-- Passes the deadline of a call on that is transcoded: the bridge does so itself.
local function pass_deadline(headers)
  local left = string.match(headers:get("connect-timeout-ms") or "", "^%d%d?%d?%d?%d?%d?%d?%d?$")
  if left then
    headers:replace("grpc-timeout", left .. "m")
  end
end

-- Returns a number as four bytes, the highest first.
local function four_bytes(number)
  local out = ""
  for power = 3, 0, -1 do
    out = out .. string.char(math.floor(number / 256 ^ power) % 256)
  end
  return out
end

-- Answers with an error that `connect_errors.lua` has made; a stream has it in its last frame, whatever its status.
local function answer_connect_error(handle, headers, call, text)
  headers:remove("x-http-body")
  if call == "stream" then
    headers:replace("content-type", "application/connect+proto")
    headers:replace(":status", "200")
    text = '{"error":' .. text .. "}"
    text = "\2" .. four_bytes(#text) .. text
  else
    headers:replace("content-type", "application/json")
    headers:replace(":status", CONNECT_STATUS[string.match(text, '^{"code":"([%w_]+)"')] or "500")
  end
  handle:body(true):setBytes(text)
end

-- Gives the status that belongs to its code to an error of the bridge, and the shape of Connect to that of others.
local function mend_connect_error(handle, status)
  local body = handle:body(true)
  local text = body:getBytes(0, body:length())
  local code = string.match(text, '^{"code":"([%w_]+)"')
  if not code then  -- the transcoder's: a google.rpc.Status
    local number, message = string.match(text, '^{"code":(%d+),"message":(".*"),"details":%[')
    code = GRPC_CODES[tonumber(number)] or HTTP_CODES[status] or "unknown"
    body:setBytes('{"code":"' .. code .. '","message":' .. (message or '"no such call, or not by this method"') .. "}")
  end
  local headers = handle:headers()
  headers:replace("content-type", "application/json")
  headers:replace("content-length", tostring(body:length()))
  headers:replace(":status", KEPT[status] and status or CONNECT_STATUS[code] or "500")
end
