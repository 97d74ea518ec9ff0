-- Errors of services as Connect has them, with their details, which Envoy's bridge leaves out: the first that sees an answer.
--
-- Only what comes as trailers alone is made here, as errors of services do that have not begun to answer, and those of filters.
-- It goes in a header past the filters that know gRPC; `connect.lua` makes the answer of it.

local CODES = {
  "canceled", "unknown", "invalid_argument", "deadline_exceeded", "not_found", "already_exists", "permission_denied",
  "resource_exhausted", "failed_precondition", "aborted", "out_of_range", "unimplemented", "internal", "unavailable",
  "data_loss", "unauthenticated",
}
local ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
local VALUES = {}
for index = 1, #ALPHABET do
  VALUES[string.byte(ALPHABET, index)] = index - 1
end

local function decoded(text)
  local out, bits, count = {}, 0, 0
  for index = 1, #text do
    local value = VALUES[string.byte(text, index)]
    if value then
      bits, count = bits * 64 + value, count + 6
      if count >= 8 then
        count = count - 8
        out[#out + 1] = string.char(math.floor(bits / 2 ^ count) % 256)
        bits = bits % 2 ^ count
      end
    end
  end
  return table.concat(out)
end

local function varint(bytes, at)
  local value, scale = 0, 1
  while at <= #bytes do
    local byte = string.byte(bytes, at)
    value, scale, at = value + byte % 128 * scale, scale * 128, at + 1
    if byte < 128 then
      return value, at
    end
  end
  return nil, at
end

-- Returns the fields of a message that have a length, in order, as pairs of number and bytes; what cannot be read ends it.
local function fields(bytes)
  local found, at = {}, 1
  while at <= #bytes do
    local tag, length
    tag, at = varint(bytes, at)
    if not tag then
      return found
    end
    length, at = varint(bytes, at)
    if not length then
      return found
    end
    if tag % 8 == 2 then
      found[#found + 1] = { math.floor(tag / 8), string.sub(bytes, at, at + length - 1) }
      at = at + length
    elseif tag % 8 ~= 0 then
      return found
    end
  end
  return found
end

local function quoted(text)
  return '"' .. string.gsub(text, '[%c"\\]', function(each)
    return string.format("\\u%04x", string.byte(each))
  end) .. '"'
end

-- Returns the details of a serialised google.rpc.Status as JSON.
local function details_of(handle, status)
  local found = {}
  for _, field in ipairs(fields(status)) do
    if field[1] == 3 then
      local type, value = "", ""
      for _, part in ipairs(fields(field[2])) do
        if part[1] == 1 then
          type = string.match(part[2], "[^/]*$")
        elseif part[1] == 2 then
          value = part[2]
        end
      end
      local encoded = string.gsub(handle:base64Escape(value), "=+$", "")
      found[#found + 1] = '{"type":' .. quoted(type) .. ',"value":"' .. encoded .. '"}'
    end
  end
  return "[" .. table.concat(found, ",") .. "]"
end

local function error_of(handle, headers, code)
  local message = string.gsub(headers:get("grpc-message") or "", "%%(%x%x)", function(hex)
    return string.char(tonumber(hex, 16))
  end)
  local text = '{"code":"' .. code .. '","message":' .. quoted(message)
  local status = headers:get("grpc-status-details-bin")
  return text .. (status and ',"details":' .. details_of(handle, decoded(status)) or "") .. "}"
end

function envoy_on_response(handle)
  local call = (handle:streamInfo():dynamicMetadata():get("edge") or {})["connect"]
  local headers = handle:headers()
  local code = CODES[tonumber(headers:get("grpc-status") or "0")]
  if not call or not code then
    return
  end
  headers:replace("x-http-body", error_of(handle, headers, code))
  for _, name in ipairs({ "grpc-status", "grpc-message", "grpc-status-details-bin" }) do
    headers:remove(name)
  end
  headers:replace("content-type", "application/json")
end
