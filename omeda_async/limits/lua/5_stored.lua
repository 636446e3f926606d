-- The state as text, in the shape of ``_stored``; what is nothing is left out, and a limit that is the one that
-- holds.
--
-- cjson writes 14 digits, which do for times from the state's beginning, and no infinities: those are words.

local VERSION = 1
local WORDS = {inf = INF, ["-inf"] = -INF, nan = 0 / 0, [INF] = "inf", [-INF] = "-inf"}

-- Put words for numbers that cjson does not know, or those numbers for the words, wherever there may be some.
local function exchange(state)
  local limits, caution = state.limits, state.limits._caution
  for _, part in ipairs({state, limits, limits._demand, caution, caution.steady or {}, caution.brisk or {}}) do
    for key, item in pairs(part) do
      if item ~= item then
        part[key] = "nan"
      elseif WORDS[item] then
        part[key] = WORDS[item]
      end
    end
  end
end

-- A list; cjson takes an empty one for an object, so that it is a word until the rest is text.
local EMPTY = "@"

local function list(items)
  return items[1] == nil and EMPTY or items
end

local function encode(value)
  local text, parts, from = cjson.encode(value), {}, 1
  local at, ends = text:find('"' .. EMPTY .. '"', from, true)
  while at do
    parts[#parts + 1], from = text:sub(from, at - 1), ends + 1
    at, ends = text:find('"' .. EMPTY .. '"', from, true)
  end
  parts[#parts + 1] = text:sub(from)
  return table.concat(parts, "[]")
end

local function listed(rate_limit)
  return {
    windows = list(rate_limit.windows), parallel = rate_limit.parallel, pace = rate_limit.pace,
    interactive_reserve = rate_limit.interactive_reserve,
  }
end

-- Write a state; it is of no use afterwards.
local function dump(state)
  local limits = state.limits
  exchange(state)
  state.version, state.clock = VERSION, string.format("%.17g", state.clock)
  limits._caution.rate_limit, limits._caution.parallel = nil, limits._caution.parallel or NULL
  for _, gate in ipairs(limits._gates) do
    gate.slots._cooling, gate.slots._unanswered = list(gate.slots._cooling), list(gate.slots._unanswered)
  end
  limits._gates, limits._readings = list(limits._gates), list(limits._readings)
  for _, client in pairs(state.clients) do
    local is_same = RateLimit.same(client.rate_limit, limits.rate_limit)
    client.rate_limit = not is_same and listed(client.rate_limit) or nil
  end
  limits.rate_limit = listed(limits.rate_limit)
  for _, one in pairs(state.grants) do one.permit.before = list(one.permit.before) end
  return encode(state)
end

local function load(text)
  local state = cjson.decode(text)
  if state.version ~= VERSION then return state end
  exchange(state)
  state.clock = tonumber(state.clock)
  local rate_limit, caution = state.limits.rate_limit, state.limits._caution
  caution.rate_limit = rate_limit
  if caution.parallel == NULL then caution.parallel = nil end
  for _, client in pairs(state.clients) do client.rate_limit = client.rate_limit or rate_limit end
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
