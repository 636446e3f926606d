-- The state as text, in the shape of ``_stored``; what is nothing is left out, and a limit that is the one that
-- holds.
--
-- cjson writes 14 digits, which do for times from the state's beginning, and no infinities: those are words.

local VERSION = 1

local function written(number)
  if number ~= number then return "nan" end
  if number == INF then return "inf" end
  if number == -INF then return "-inf" end
  return number
end

local function read(number)
  if type(number) ~= "string" then return number end
  if number == "nan" then return 0 / 0 end
  if number == "inf" then return INF end
  if number == "-inf" then return -INF end
  return tonumber(number)
end

-- A list; cjson takes an empty one for an object, so that it is a word until the rest is text.
local EMPTY = "@"

local function list(items)
  if items[1] == nil then return EMPTY end
  return items
end

local function encode(value)
  local text, parts, from = cjson.encode(value), {}, 1
  local at = text:find(EMPTY, from, true)
  while at do
    if text:sub(at - 1, at + 1) == '"@"' then
      parts[#parts + 1], from = text:sub(from, at - 2), at + 2
      parts[#parts + 1] = "[]"
    end
    at = text:find(EMPTY, at + 1, true)
  end
  parts[#parts + 1] = text:sub(from)
  return table.concat(parts)
end

local function listed(rate_limit)
  if rate_limit.windows[1] then return rate_limit end
  return {
    windows = EMPTY, parallel = rate_limit.parallel, pace = rate_limit.pace,
    interactive_reserve = rate_limit.interactive_reserve,
  }
end

local function convert_pace(pace, convert)
  if not pace then return nil end
  return {
    rate = convert(pace.rate), patience = pace.patience, next_at = convert(pace.next_at),
    _first = convert(pace._first), _grown = convert(pace._grown), _clean_since = convert(pace._clean_since),
  }
end

-- Convert what may be infinite.
local function convert(state, number)
  local limits, caution = state.limits, state.limits._caution
  state.hold_until, state.held_since = number(state.hold_until), number(state.held_since)
  limits._last_grant, limits._next_paced = number(limits._last_grant), number(limits._next_paced)
  limits._demand._began = number(limits._demand._began)
  caution.paused_until, caution._began = number(caution.paused_until), number(caution._began)
  caution._halved_at = number(caution._halved_at)
  caution.steady, caution.brisk = convert_pace(caution.steady, number), convert_pace(caution.brisk, number)
end

-- Write a state; it is of no use afterwards.
local function dump(state)
  local limits = state.limits
  convert(state, written)
  state.version, state.clock = VERSION, string.format("%.17g", state.clock)
  limits._caution.rate_limit, limits._caution.parallel = nil, limits._caution.parallel or NULL
  for _, gate in ipairs(limits._gates) do
    gate.slots._cooling, gate.slots._unanswered = list(gate.slots._cooling), list(gate.slots._unanswered)
  end
  limits._gates, limits._readings = list(limits._gates), list(limits._readings)
  for _, client in pairs(state.clients) do
    if RateLimit.same(client.rate_limit, limits.rate_limit) then
      client.rate_limit = nil
    else
      client.rate_limit = listed(client.rate_limit)
    end
  end
  limits.rate_limit = listed(limits.rate_limit)
  for _, one in pairs(state.grants) do
    one["until"], one.until_ = one.until_, nil
    one.permit.before = list(one.permit.before)
  end
  return encode(state)
end

local function load(text)
  local state = cjson.decode(text)
  if state.version ~= VERSION then return state end
  convert(state, read)
  local rate_limit = state.limits.rate_limit
  state.limits._caution.rate_limit = rate_limit
  for _, client in pairs(state.clients) do client.rate_limit = client.rate_limit or rate_limit end
  if state.limits._caution.parallel == NULL then state.limits._caution.parallel = nil end
  state.clock = read(state.clock)
  for _, one in pairs(state.grants) do one.until_, one["until"] = one["until"], nil end
  return state
end

local function dump_reply(reply)
  reply.rate_limit = listed(reply.rate_limit)
  reply.clock = string.format("%.17g", reply.clock)
  reply.permits, reply.calls = list(reply.permits or {}), list(reply.calls or {})
  return encode(reply)
end

-- Take out what is null.
local function cleaned(value)
  for key, item in pairs(value) do
    if item == NULL then
      value[key] = nil
    elseif type(item) == "table" then
      cleaned(item)
    end
  end
  return value
end
