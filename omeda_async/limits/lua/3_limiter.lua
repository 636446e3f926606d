-- The state of one account's limits, as in ``_state``.

local INTERACTIVE, BULK = "interactive", "bulk"
local Limits = {}

function Limits.new(rate_limit)
  local limits = {
    rate_limit = rate_limit, in_flight = 0, in_a_row = 0, _gates = {}, _caution = Caution.new(rate_limit),
    _demand = Demand.new(MEMORY * RateLimit.longest(rate_limit)), _bulk_in_flight = 0, _grants = 0,
    _last_grant = -INF, _next_paced = -INF, _released = 0, _counted = 0, _probing = false, _readings = {},
    _stray_until = 0, _tightened_at = 0,
  }
  for i, window in ipairs(rate_limit.windows) do
    limits._gates[i], limits._readings[i] = Gate.new(rate_limit, window), NULL
  end
  return limits
end

local function read_all(limits)
  local readings = {}
  for i, gate in ipairs(limits._gates) do readings[i] = gate.evidence.last or NULL end
  limits._readings = readings
end

local function least_left(limits, now)
  local left = nil
  if limits._stray and now < limits._stray_until then left = reading_left(limits._stray, limits._grants) end
  for _, gate in ipairs(limits._gates) do
    local last = gate.evidence.last
    if last and now < Evidence.fresh_until(gate.evidence, now) then
      left = min(left or INF, reading_left(last, limits._grants))
    end
  end
  return left
end

local function left_of(limits, now)
  if limits._caution.stage == CAREFUL then return least_left(limits, now) end
  if limits._stray and now < limits._stray_until then return reading_left(limits._stray, limits._grants) end
  return nil
end

local function fresh_until(limits, now)
  local at = limits._stray_until > now and limits._stray_until or INF
  for _, gate in ipairs(limits._gates) do
    local time = Evidence.fresh_until(gate.evidence, now)
    if time > now then at = min(at, time) end
  end
  return at == INF and now or at
end

local function probe_at(limits, gate, now)
  if limits._probing then return INF end
  return Gate.probe_at(gate, now, limits._last_grant)
end

local function opens_by_headers_at(limits, now)
  local left = left_of(limits, now)
  local pace = Caution.pace(limits._caution, left)
  local at = pace and pace.next_at or -INF
  if not left or Caution.is_enough(limits._caution, left) then return at end
  return max(at, fresh_until(limits, now))
end

local function slots_open_at(limits, now)
  local caution = limits._caution
  if caution.parallel and limits.in_flight >= caution.parallel then return INF end
  local at = caution.paused_until
  if caution.refusals > 0 then at = Caution.opens_at(caution, limits.in_flight) end
  if at == INF then return at end
  if limits._stray or caution.stage == CAREFUL then at = max(at, opens_by_headers_at(limits, now)) end
  for _, gate in ipairs(limits._gates) do
    local slot_at = Slots.opens_at(gate.slots, now)
    if slot_at > now then at = max(at, min(slot_at, probe_at(limits, gate, now))) end
  end
  return at
end

local function opens_to_bulk_at(limits, now)
  if limits.rate_limit.interactive_reserve == 0 then return -INF end
  local parallel, at = limits._caution.parallel, -INF
  if parallel and limits._bulk_in_flight > 0
    and limits.in_flight >= parallel - RateLimit.reserve_of(limits.rate_limit, parallel) then
    return INF
  end
  for _, gate in ipairs(limits._gates) do
    if not Slots.has_half(gate.slots) then
      at = max(at, Gate.opens_to_bulk_at(gate, now, Demand.rate(limits._demand, now)))
    end
  end
  return at
end

function Limits.opens_at(limits, now, lane)
  local at = slots_open_at(limits, now)
  if lane == BULK and at <= now and limits.in_a_row < GRANTS - 1 then
    at = opens_to_bulk_at(limits, now)
    if at > now + SHORT and Demand.rate(limits._demand, now) > 0 then at = (now + at) / 2 end
  end
  return at
end

function Limits.mark(limits, permit, now)
  permit.granted_at, permit.grants, permit.in_flight = now, limits._grants, limits.in_flight - 1
  permit.released, permit.counted, permit.before = limits._released, limits._counted, limits._readings
end

function Limits.take(limits, now, lane)
  local permit = {priority = lane, probes = false}
  if limits._grants == 0 then Demand.begin(limits._demand, now) end
  local asks = lane == BULK and limits.rate_limit.interactive_reserve > 0
  for _, gate in ipairs(limits._gates) do
    if not Slots.take(gate.slots) or (asks and gate.evidence.last and Gate.has_ended(gate, now)) then
      gate.evidence._countdown = nil
      permit.probes, limits._probing = true, true
    end
  end
  if lane == BULK then
    limits._bulk_in_flight = limits._bulk_in_flight + 1
  else
    Demand.granted(limits._demand, now)
  end
  if limits._caution.stage == CAREFUL then Caution.granted(limits._caution, now, left_of(limits, now)) end
  limits._grants, limits._last_grant = limits._grants + 1, now
  limits.in_flight = limits.in_flight + 1
  Limits.mark(limits, permit, now)
  return permit
end

function Limits.went(limits, permit, now)
  limits._next_paced = now + (limits.rate_limit.pace or 0)
  Limits.mark(limits, permit, now)
end

local function tightened(limits, gate, window, now)
  if gate then
    gate.slots.window, gate.reserve = window, Reserve.of(limits.rate_limit, window)
    return gate
  end
  gate = Gate.new(limits.rate_limit, window)
  gate.slots._in_use = limits.in_flight
  Slots.hold(gate.slots, min(window.calls, limits._released), now + gate.slots.lap)
  return gate
end

function Limits.tighten(limits, rate_limit, now)
  limits.rate_limit, limits._caution.rate_limit = rate_limit, rate_limit
  local known, gates = {}, {}
  for _, gate in ipairs(limits._gates) do known[gate.slots.window.seconds] = gate end
  local named = {}
  for i, window in ipairs(rate_limit.windows) do
    gates[i], named[window.seconds] = tightened(limits, known[window.seconds], window, now), true
  end
  for _, gate in ipairs(limits._gates) do
    local old, implied = gate.slots.window, false
    for _, window in ipairs(rate_limit.windows) do implied = implied or implies(window, old) end
    if implied and not named[old.seconds] then gates[#gates + 1] = tightened(limits, gate, old, now) end
  end
  limits._gates = gates
  read_all(limits)
  limits._tightened_at = limits._grants
  limits._caution.parallel = either(min, limits._caution.parallel, rate_limit.parallel)
end

local function learn_window(limits, gate, reading, before, advice)
  local slots, evidence, now = gate.slots, gate.evidence, reading.received
  local explained = Slots.used(slots, now)
  local possible = before and limits._released - before.released + limits.in_flight or 0
  Evidence.learn(evidence, reading, before, possible, limits._counted + limits.in_flight)
  Evidence.learn_reset(evidence, reading, advice)
  if evidence.last == reading then Slots.hold(slots, max(0, reading.counted - explained), now + slots.lap) end
  if Evidence.trusted(evidence, now) then
    Slots.keep_newest(slots, reading.counted + limits._released - reading.released - 1)
  end
end

local function learn(limits, permit, now, advice)
  if permit.grants <= limits._tightened_at then return end
  local reading = {
    counted = advice.limit - advice.remaining, remaining = advice.remaining, sent = permit.granted_at, received = now,
    grants = permit.grants, in_flight = permit.in_flight, released = permit.released, known = permit.counted,
  }
  for i, gate in ipairs(limits._gates) do
    if gate.slots.window.calls == advice.limit then
      local before = permit.before[i]
      if before == NULL then before = nil end
      learn_window(limits, gate, reading, before, advice)
      read_all(limits)
      return
    end
  end
  local wait = RateLimit.shortest(limits.rate_limit)
  if advice.reset then wait = advice.reset + advice.slack end
  limits._stray, limits._stray_until = reading, now + min(wait, RateLimit.longest(limits.rate_limit))
end

local function refused(limits, permit, now, retry_after)
  local left, shortest = least_left(limits, now), RateLimit.shortest(limits.rate_limit)
  local short = retry_after and 0 < retry_after and retry_after <= max(1, shortest)
  for _, gate in ipairs(limits._gates) do
    if retry_after ~= TOO_MANY_PARALLEL and (not short or gate.slots.window.seconds == shortest) then
      Evidence.doubt(gate.evidence, now + gate.slots.lap)
    end
  end
  return Caution.refused(limits._caution, permit.granted_at, now, retry_after, limits.in_flight, left)
end

function Limits.complete(limits, permit, now, ended)
  local caution = limits._caution
  limits.in_flight = limits.in_flight - 1
  if permit.priority == BULK then limits._bulk_in_flight = limits._bulk_in_flight - 1 end
  if permit.probes then limits._probing = false end
  if not ended.sent then
    for _, gate in ipairs(limits._gates) do Slots.give_back(gate.slots) end
    return 0
  end
  limits._released = limits._released + 1
  for _, gate in ipairs(limits._gates) do Slots.cool(gate.slots, now, ended.status ~= nil) end
  if not ended.status then
    Caution.ended(caution)
    return 0
  end
  if ended.status == 429 then return refused(limits, permit, now, ended.wait) end
  if caution.refusals > 0 then Caution.accepted(caution, permit.granted_at, now) end
  if ended.advice then
    limits._counted = limits._counted + 1
    learn(limits, permit, now, ended.advice)
  end
  if ended.wait and ended.wait > 0 then return Caution.pause(caution, now, ended.wait) end
  return 0
end

function Limits.turn_at(limits, now)
  return max(now, limits._next_paced)
end

function Limits.earliest(limits, now)
  local at = max(now, limits._caution.paused_until)
  if limits.rate_limit.pace then at = max(at, Limits.turn_at(limits, now)) end
  for _, gate in ipairs(limits._gates) do at = max(at, Gate.earliest(gate, now)) end
  return at
end
