-- Calls of the Connect protocol (https://connectrpc.com/docs/protocol), ahead of who makes gRPC of them: Envoy's bridge, and
-- the gateway of what the bridge does not know: JSON, compressed messages, calls by GET.
--
-- A call is "proto" (unary) or "stream", both binary, for the bridge, "gateway" for the gateway, "" for what is Connect but not
-- spoken here, nil for what is none.

local METHOD = "^/[%w_]+%.[%w_%.]+/[%w_]+/*$"  -- no REST path of ours has this dot; a slash at the end is dropped

-- Of an error, by its code: https://connectrpc.com/docs/protocol#error-codes
local CONNECT_STATUS = {
  canceled = "499", unknown = "500", invalid_argument = "400", deadline_exceeded = "504", not_found = "404",
  already_exists = "409", permission_denied = "403", resource_exhausted = "429", failed_precondition = "400",
  aborted = "409", out_of_range = "400", unimplemented = "501", internal = "500", unavailable = "503",
  data_loss = "500", unauthenticated = "401",
}
local KEPT = { ["405"] = true, ["413"] = true, ["415"] = true, ["421"] = true, ["431"] = true }  -- the edge's own, and telling

local function is_method(target)
  return string.match(string.match(target, "^[^?]*"), METHOD) ~= nil
end

-- Returns whether messages are as they are, by the header that says how.
local function is_plain(headers, name)
  local encoding = string.lower(headers:get(name) or "")
  return encoding == "" or encoding == "identity"
end

local function connect_call(headers, target)
  if not is_method(target) then
    return nil
  end
  if headers:get(":method") ~= "POST" then
    return "gateway"
  end
  local kind = string.match(string.lower(headers:get("content-type") or ""), "^%s*([^;%s]+)")
  if kind == "application/proto" then
    return is_plain(headers, "content-encoding") and "proto" or "gateway"
  end
  if kind == "application/connect+proto" then
    return is_plain(headers, "connect-content-encoding") and "stream" or "gateway"
  end
  if kind == "application/json" or kind == "application/connect+json" then
    return "gateway"
  end
  return kind and string.match(kind, "^application/connect%+") and "" or nil
end

-- Tells the filters behind of a call.  A message that does not say how large it is counts as large, and so does one that is
-- compressed: it may be a thousand times as large.  JSON is large from a kilobyte on: to read it costs the gateway.
local function tell_call(headers, call, target)
  local sends = headers:get(":method") == "POST" or headers:get("content-length") or headers:get("transfer-encoding")
  local is_packed = call == "gateway" and (string.find(target, "[?&]compression=[^&]")
    or not (is_plain(headers, "content-encoding") and is_plain(headers, "connect-content-encoding")))
  local length = call == "gateway" and "^%d%d?%d?$" or "^%d%d?%d?%d?$"
  local is_short = call == "stream" or not sends or string.match(headers:get("content-length") or "", length)
  local is_small = is_short and not is_packed
  headers:replace("x-mesh-connect", is_small and call or call .. "-large")
end

-- Makes what is left of the head of a binary call fit for the bridge; refuses one that it would make nonsense of.
local function begin_connect(handle, headers, call)
  if call == "" then
    handle:respond({ [":status"] = "415" }, "streams are spoken in application/connect+json and application/connect+proto")
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

local HIDDEN = { ["content-type"] = "x-mesh-connect-type", ["connect-protocol-version"] = "x-mesh-connect-version" }

-- Makes the bridge blind for a call that the gateway takes: it goes by these headers, and by the query of a GET, which the
-- gateway finds in x-mesh-path.
local function hand_over(headers, path)
  for name, aside in pairs(HIDDEN) do
    local value = headers:get(name)
    if value then
      headers:replace(aside, value)
      headers:remove(name)
    end
  end
  headers:replace(":path", path)
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
  if not code then
    code = "unknown"
    body:setBytes('{"code":"unknown","message":"the answer was ' .. status .. '"}')
  end
  local headers = handle:headers()
  headers:replace("content-type", "application/json")
  headers:replace("content-length", tostring(body:length()))
  headers:replace(":status", KEPT[status] and status or CONNECT_STATUS[code] or "500")
end
