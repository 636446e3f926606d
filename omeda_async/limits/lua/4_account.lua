-- The state of one account's limits for several clients, as in ``_account_state``.

local PATIENCE, FORGOTTEN = 1.0, 3.0
local STAGGER, LATEST = 0.004, 0.03
local Account = {}

function Account.new(rate_limit, server)
  return {
    limits = Limits.new(rate_limit), server = server, hold_until = -INF, held_since = -INF, latest = 0, clock = -INF, last = 0,
    clients = {}, grants = {},
  }
end

-- Permits are numbered; JSON has only names.
local function key_of(number) return string.format("%.0f", number) end

-- The numbers of the permits that are out, of one client or of all, in order.
local function numbers(state, client)
  local list = {}
  for key, grant in pairs(state.grants) do
    if not client or grant.client == client then list[#list + 1] = tonumber(key) end
  end
  table.sort(list)
  return list
end

local function advance(state, clock)
  if clock > state.clock and state.clock > -INF then state.latest = state.latest + (clock - state.clock) end
  state.clock = clock
  return state.latest
end

-- Let the hold last until whatever anybody who is known may have sent before it began is a window old.
local function hold_for_all(state)
  local longest, lease = RateLimit.longest(state.limits.rate_limit), 0
  for _, client in pairs(state.clients) do
    longest, lease = max(longest, RateLimit.longest(client.rate_limit)), max(lease, client.lease)
  end
  state.hold_until = max(state.hold_until, state.held_since + lease + longest * (1 + DRIFT))
end

local function client_of(state, ask, now)
  local old = FORGOTTEN * (RateLimit.longest(state.limits.rate_limit) + ask.lease)
  for name, client in pairs(state.clients) do
    if client.seen < now - old then state.clients[name] = nil end
  end
  local client = state.clients[ask.client]
  if not client then
    client = {
      rate_limit = ask.rate_limit, lease = ask.lease, number = 0, interactive = 0, bulk = 0, wants_until = 0,
      served = 0, seen = now,
    }
    state.clients[ask.client] = client
    if now < state.hold_until then hold_for_all(state) end
  end
  return client
end

local function complete(state, ended, now)
  local key = key_of(ended.permit)
  local permit = state.grants[key].permit
  state.grants[key] = nil
  return Limits.complete(state.limits, permit, now, ended)
end

local function hold(state, now)
  state.held_since = now
  hold_for_all(state)
  for _, number in ipairs(numbers(state)) do
    if not state.grants[key_of(number)].fetched then complete(state, {permit = number, sent = false}, now) end
  end
end

local function keep_to_all(state, now)
  local names, differ = {}, false
  for name, client in pairs(state.clients) do
    names[#names + 1] = name
    differ = differ or not RateLimit.same(client.rate_limit, state.limits.rate_limit)
  end
  if not differ then return end
  table.sort(names)
  local holds = state.clients[names[1]].rate_limit
  for _, name in ipairs(names) do
    local limit = state.clients[name].rate_limit
    if not RateLimit.same(limit, holds) then holds = RateLimit.tighter(holds, limit) end
  end
  if not RateLimit.same(holds, state.limits.rate_limit) then Limits.tighten(state.limits, holds, now) end
end

local function expire(state, now)
  local over = {}
  for key, grant in pairs(state.grants) do
    if grant["until"] <= now then over[#over + 1] = {grant["until"], tonumber(key)} end
  end
  table.sort(over, function(a, b) return a[1] < b[1] or (a[1] == b[1] and a[2] < b[2]) end)
  for _, one in ipairs(over) do
    local grant = state.grants[key_of(one[2])]
    local late = state.clients[grant.client]
    if not grant.fetched and late then late.wants_until = 0 end
    complete(state, {permit = one[2], sent = grant.fetched}, one[1])
  end
  for _, client in pairs(state.clients) do
    if client.wants_until <= now then client.interactive, client.bulk = 0, 0 end
  end
end

local function wants(client)
  return client.interactive > 0 or client.bulk > 0
end

local function want(state, client, ask)
  if wants(ask) then
    local least = INF
    for _, one in pairs(state.clients) do
      if wants(one) then least = min(least, one.served) end
    end
    if least < INF then client.served = max(client.served, least) end
  end
  client.interactive, client.bulk = ask.interactive, ask.bulk
  if ask.leaves then client.interactive, client.bulk = 0, 0 end
end

local function end_all(state, ask, now)
  local paused = 0
  for _, ended in ipairs(ask.ended) do
    local grant = state.grants[key_of(ended.permit)]
    if grant and grant.client == ask.client then paused = max(paused, complete(state, ended, now)) end
  end
  return paused
end

local function reconcile(state, ask, now)
  local held = {}
  for _, number in ipairs(ask.held) do held[number] = true end
  for _, number in ipairs(numbers(state, ask.client)) do
    local grant = state.grants[key_of(number)]
    if grant.fetched and held[number] then
      grant["until"] = now + ask.lease
    elseif grant.fetched then
      complete(state, {permit = number, sent = false}, now)
    end
  end
end

local function opens_at(state, now, lane)
  if now < state.hold_until then return state.hold_until end
  return max(Limits.opens_at(state.limits, now, lane), Limits.turn_at(state.limits, now))
end

local function grant(state, name, lane, now)
  local limits, client = state.limits, state.clients[name]
  local permit = Limits.take(limits, now, lane)
  if limits.rate_limit.pace then Limits.went(limits, permit, now) end
  state.last = state.last + 1
  state.grants[key_of(state.last)] = {permit = permit, client = name, ["until"] = now + PATIENCE, fetched = false}
  client.served = client.served + 1
  client[lane] = client[lane] - 1
  local overtaken = false
  if lane == INTERACTIVE then
    for _, one in pairs(state.clients) do overtaken = overtaken or one.bulk > 0 end
  end
  limits.in_a_row = overtaken and limits.in_a_row + 1 or 0
end

-- Who has had least of those who want something in a lane and can come for it.
local function neediest(state, called, lane)
  local found, least = nil, nil
  for name, client in pairs(state.clients) do
    if client[lane] > 0 and not called[name]
      and (not found or client.served < least or (client.served == least and name < found)) then
      found, least = name, client.served
    end
  end
  return found
end

local function next_one(state, called, now)
  local lanes = {INTERACTIVE, BULK}
  if state.limits.in_a_row >= GRANTS - 1 then lanes = {BULK, INTERACTIVE} end
  for _, lane in ipairs(lanes) do
    local name = neediest(state, called, lane)
    if name then
      if opens_at(state, now, lane) <= now then return name, lane end
      return nil
    end
  end
end

local function allot(state, present, now)
  local called, calls = {}, {}
  for _, one in pairs(state.grants) do
    if not one.fetched and one.client ~= present then called[one.client] = true end
  end
  local name, lane = next_one(state, called, now)
  while name do
    grant(state, name, lane, now)
    if name ~= present then
      called[name] = true
      calls[#calls + 1] = name
    end
    name, lane = next_one(state, called, now)
  end
  table.sort(calls)
  return calls
end

local function fetch(state, ask, now)
  local permits = {}
  for _, number in ipairs(numbers(state, ask.client)) do
    local one = state.grants[key_of(number)]
    if not one.fetched and ask.leaves then
      complete(state, {permit = number, sent = false}, now)
    elseif not one.fetched then
      one.fetched, one["until"] = true, now + ask.lease
      Limits.mark(state.limits, one.permit, now)
      permits[#permits + 1] = {number, one.permit.priority}
    end
  end
  return permits
end

local function again_in(state, client, me, now)
  local lane = client.interactive > 0 and INTERACTIVE or BULK
  if client[lane] == 0 then return nil end
  local at, pace, before = opens_at(state, now, lane), state.limits.rate_limit.pace, 0
  for name, one in pairs(state.clients) do
    local is_before = one.served < client.served or (one.served == client.served and name < me)
    if is_before and one[lane] > 0 then before = before + 1 end
  end
  at = at + (pace and before * pace or min(before * STAGGER, LATEST))
  for _, one in pairs(state.grants) do
    if not one.fetched then at = min(at, one["until"]) end
  end
  if at == INF then return nil end
  return max(0, at - now)
end

function Account.turn(state, ask, clock, server)
  local is_new = state.clock == -INF
  local now = advance(state, clock)
  local client = client_of(state, ask, now)
  if ask.number <= client.number then return {rate_limit = state.limits.rate_limit, clock = clock} end
  if is_new or ask.distrusts or server ~= state.server then
    hold(state, now)
    state.server = server
  end
  client.number, client.seen = ask.number, now
  keep_to_all(state, now)
  expire(state, now)
  local paused = end_all(state, ask, now)
  reconcile(state, ask, now)
  want(state, client, ask)
  local calls = allot(state, ask.client, now)
  local permits = fetch(state, ask, now)
  local again = again_in(state, client, ask.client, now)
  client.wants_until = now + PATIENCE + (again or ask.lease)
  local scarce = opens_at(state, now, BULK) > now
  for _, one in pairs(state.clients) do scarce = scarce or (one ~= client and wants(one)) end
  if ask.leaves then state.clients[ask.client] = nil end
  return {
    permits = permits, again_in = again, paused_for = paused, calls = calls, scarce = scarce,
    earliest = max(Limits.earliest(state.limits, now), state.hold_until) - now,
    rate_limit = state.limits.rate_limit, clock = clock, held_for = max(0, state.hold_until - now),
  }
end
