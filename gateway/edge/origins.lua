-- Which names the mesh answers to, and what a browser may ask for when the page that makes it ask is not ours (ADR origins).
--
-- Names: a page of a foreign name that leads to this machine (DNS rebinding) has that name as its host; its origin, so the
-- browser, takes the mesh for its own.  An address that is typed cannot be rebound, so one of a wildcard is let in.
-- Pages: a browser says where a request comes from (`Sec-Fetch-Site`, else `Origin`), and no page can forge it.  Who says
-- neither is no browser of today, so a program, whose cookies are its own.
-- CORS: pages that the operator names may call what they were named for, with a token and never with cookies; to them alone
-- preflights are answered, and answers shown, errors of all kinds too.
--
-- `origins.py` puts these in front: HOSTS, names that are ours; ANY_ADDRESS, whether every address is; PUBLIC, the origin
-- people use, and PUBLIC_HOST, its name; TOKENS, headers that hold a token; COOKIES, those that do; SHARED, paths that pages
-- of other sites may call, with those pages; MAY_SEND and MAY_READ, their headers; ACTS, whose GET does what a POST does.

local SAFE = { GET = true, HEAD = true, OPTIONS = true, TRACE = true }
local MISDIRECTED = "421"  -- RFC 9110 15.5.20: asked of who does not answer for it
local DENIED = 7  -- of gRPC

local function segments(path)
  local found = {}
  for each in string.gmatch(path, "/([^/]*)") do
    found[#found + 1] = each
  end
  return found
end

-- Returns the name in an authority, without port, brackets' case and the dot of the root; nil for none.
local function host_of(authority)
  local text = string.lower(authority or "")
  local host, port = string.match(text, "^(%[[%x:%.]+%])(.*)$")
  if not host then
    host, port = string.match(text, "^([%w%-%._]+)(.*)$")
  end
  if not host or not string.match(port, "^$") and not string.match(port, "^:%d*$") then
    return nil
  end
  host = string.gsub(host, "%.$", "")
  return host
end

local function is_address(host)
  return string.sub(host, 1, 1) == "[" or string.match(host, "^%d+%.%d+%.%d+%.%d+$") ~= nil
end

local function is_our_name(authority)
  local host = host_of(authority)
  if not host then
    return false
  end
  local here = string.match(host, "^127%.%d+%.%d+%.%d+$") ~= nil
  return here or HOSTS[host] == true or (ANY_ADDRESS and is_address(host))
end

-- Returns from where the page is that a request comes from: "ours" (or none: typed, or a program), "near" (of the same
-- site, such as another port of this machine), "far".
local function page_of(headers)
  local site = headers:get("sec-fetch-site")
  if site then
    local known = { ["same-origin"] = "ours", none = "ours", ["same-site"] = "near" }
    return known[string.lower(site)] or "far"
  end
  local origin = headers:get("origin")
  if not origin then
    return "ours"
  end
  local authority = string.lower(headers:get(":authority") or "")
  origin = string.lower(origin)
  if origin == PUBLIC or origin == "https://" .. authority then
    return "ours"
  end
  -- Whoever sits in between can make a page of http where people use https.
  local plain = origin == "http://" .. authority and host_of(authority) ~= PUBLIC_HOST
  return plain and "ours" or "far"
end

local function has_token(headers)
  for _, name in ipairs(TOKENS) do
    if (headers:get(name) or "") ~= "" then
      return true
    end
  end
  -- Not Basic: it can be put into the address of a form.
  return string.match(string.lower(headers:get("authorization") or ""), "^bearer ") ~= nil
end

local function is_local_page(origin)
  local host = string.match(origin, "^https?://(.+)$")
  host = host and host_of(host)
  return host == "localhost" or host == "127.0.0.1" or host == "[::1]"
end

local function is_named(origin, pages)
  if pages.origins[origin] or (pages.near and is_local_page(origin)) then
    return true
  end
  for _, each in ipairs(pages.below) do
    local rest = string.sub(origin, 1, #each.scheme) == each.scheme and string.sub(origin, #each.scheme + 1) or ""
    if string.sub(rest, -#each.suffix) == each.suffix and string.match(string.sub(rest, 1, -#each.suffix - 1), "^[%w%-%.]+$") then
      return true
    end
  end
  return false
end

-- Returns whether a page of another site may call a path (CORS): without our cookies.
local function is_shared(path, origin)
  origin = string.lower(origin or "")
  if origin == "" then
    return false
  end
  path = string.match(path, "^[^?]*")
  for _, each in ipairs(SHARED) do
    if is_named(origin, each) then
      for _, prefix in ipairs(each.prefixes) do
        if path == prefix or string.sub(path, 1, #prefix + 1) == prefix .. "/" then
          return true
        end
      end
    end
  end
  return false
end

-- Remembers of a request that its page is to see the answer; answers a preflight (Fetch 4.8).  Returns whether it did.
local function share(handle, headers, path)
  local origin = headers:get("origin")
  -- A wildcard may name our own pages, too: they ask nobody, and are signed in by the cookies that they are sent.
  if page_of(headers) == "ours" or not is_shared(path, origin) then
    return false
  end
  handle:streamInfo():dynamicMetadata():set("edge", "shared", origin)
  local asked = headers:get(":method") == "OPTIONS" and headers:get("access-control-request-method")
  if not asked then
    return false
  end
  handle:respond({
    [":status"] = "200",
    ["access-control-allow-methods"] = "GET, HEAD, POST, PUT, PATCH, DELETE",
    ["access-control-allow-headers"] = MAY_SEND,
    ["access-control-max-age"] = "600",
    ["x-http-body"] = "",
  }, "")
  return true
end

-- Lets the page that asked see the answer.  It sets no cookie there: nobody is to be signed in from elsewhere.
local function show_to_page(headers, origin)
  headers:replace("access-control-allow-origin", origin)
  headers:replace("access-control-expose-headers", MAY_READ)
  if not string.find(string.lower(headers:get("vary") or ""), "origin", 1, true) then
    headers:add("vary", "origin")
  end
  headers:remove("access-control-allow-credentials")
  headers:remove("set-cookie")
end

local function matches(segments, pattern)
  if #segments ~= #pattern then
    return false
  end
  for index, literal in ipairs(pattern) do
    if literal ~= "*" and literal ~= segments[index] then
      return false
    end
  end
  return true
end

-- Returns "no" for what no page of another site may make a browser do, "far" for what only those of this site may, nil for
-- the rest.
local function guard_of(method, path)
  if not SAFE[method] then
    return "no"
  end
  local asked = segments(path)
  for _, act in ipairs(ACTS) do
    if matches(asked, act.path) then
      return act.guard
    end
  end
  return nil
end

local function drop_our_cookies(headers)
  local sent = headers:get("cookie")
  if not sent then
    return
  end
  local kept = {}
  for pair in string.gmatch(sent, "[^;]+") do
    local name = string.match(pair, "^%s*([^=]-)%s*=")
    if not (name and COOKIES[name]) then
      kept[#kept + 1] = string.match(pair, "^%s*(.-)%s*$")
    end
  end
  if #kept == 0 then
    headers:remove("cookie")
  else
    headers:replace("cookie", table.concat(kept, "; "))
  end
end

local function refuse(handle, status, text, grpc)
  local answer = { [":status"] = status }
  if grpc then
    handle:streamInfo():dynamicMetadata():set("edge", "grpc", true)
    answer["grpc-status"] = tostring(DENIED)
    answer["grpc-message"] = text
  end
  handle:respond(answer, text)
end

-- Refuses what was asked of a name that is not ours; returns whether it did.
local function refuse_name(handle, headers, grpc)
  local authority = headers:get(":authority") or ""
  if is_our_name(authority) then
    return false
  end
  local shown = string.sub(string.gsub(authority, "[^%w%-%._:%[%]]", "?"), 1, 200)
  local remedy = "this mesh does not answer to the name " .. shown
  refuse(handle, MISDIRECTED, remedy .. ": its operator can add it to AGENTMESH_ALLOWED_HOSTS", grpc)
  return true
end

-- Refuses what a page of another site may not make a browser do, and lets no cookie of ours count where its page is not
-- ours; returns whether it refused.
local function refuse_page(handle, headers, path, grpc)
  local page = page_of(headers)
  if page == "ours" then
    return false
  end
  local guard = guard_of(headers:get(":method"), path)
  local guarded = guard == "no" or (guard == "far" and page == "far")
  if guarded and not has_token(headers) and not is_shared(path, headers:get("origin")) then
    refuse(handle, "403", "a page of another site may not do this: programs send a token in a header", grpc)
    return true
  end
  if headers:get("upgrade") then
    headers:add("x-mesh-foreign", "1")  -- the gateway judges who wants a WebSocket
  elseif guarded or headers:get("sec-fetch-mode") ~= "navigate" then  -- who follows a link stays signed in
    drop_our_cookies(headers)
  end
  return false
end
