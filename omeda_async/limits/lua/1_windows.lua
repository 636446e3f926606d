-- The rules of an account's limits, as in ``_slots``, ``_reserve``, ``_header_evidence`` and ``_gate``: name by name.
-- The Python modules say why; what differs from them is a fault, and tests/limits compares the two step by step. What
-- only limiters of one process ask, such as for an attempt with others ahead of it, is not here.

local INF = math.huge
local NULL = cjson.null
local floor, ceil, sqrt, exp, log = math.floor, math.ceil, math.sqrt, math.exp, math.log

local function max(a, b) if b > a then return b end return a end
local function min(a, b) if b < a then return b end return a end

-- Take the first so many out of a list.
local function drop(list, count)
  local length = #list
  for i = 1, length - count do list[i] = list[i + count] end
  for i = length, length - count + 1, -1 do list[i] = nil end
end

-- 1 - e^-x, without the loss of digits where x is small.
local function rise(x)
  local rest = exp(-x)
  if rest == 1 then return x end
  return (rest - 1) * x / log(rest)
end

-- Two ascending lists as one.
local function merged(one, other)
  local list, i, k = {}, 1, 1
  while one[i] or other[k] do
    if not other[k] or (one[i] and one[i] <= other[k]) then
      list[#list + 1], i = one[i], i + 1
    else
      list[#list + 1], k = other[k], k + 1
    end
  end
  return list
end

-- Slots -------------------------------------------------------------------------------------------------------------

local DRIFT = 0.001
local Slots = {}

function Slots.new(window)
  return {
    window = window, held = 0, lap = window.seconds * (1 + DRIFT), _in_use = 0, _held_until = 0,
    _cooling = {}, _unanswered = {},
  }
end

local function expire_line(slots, line, now)
  local count = 0
  while line[count + 1] and line[count + 1] <= now do count = count + 1 end
  if count > 0 then
    drop(line, count)
    slots._in_use = slots._in_use - count
  end
end

function Slots.expire(slots, now)
  expire_line(slots, slots._cooling, now)
  expire_line(slots, slots._unanswered, now)
  if slots.held > 0 and now >= slots._held_until then slots.held = 0 end
end

function Slots.used(slots, now)
  Slots.expire(slots, now)
  return slots._in_use
end

function Slots.free(slots, now)
  Slots.expire(slots, now)
  return max(0, slots.window.calls - slots._in_use - slots.held)
end

function Slots.has_room(slots)
  return slots._in_use + slots.held < slots.window.calls
end

function Slots.opens_at(slots, now)
  if Slots.has_room(slots) then return -INF end
  local at = Slots.changes_at(slots, now)
  if Slots.has_room(slots) then return -INF end
  return at
end

function Slots.has_half(slots)
  return slots._in_use + slots.held < slots.window.calls - floor(slots.window.calls / 2)
end

function Slots.take(slots)
  slots._in_use = slots._in_use + 1
  return slots._in_use + slots.held <= slots.window.calls
end

function Slots.give_back(slots)
  slots._in_use = slots._in_use - 1
end

function Slots.cool(slots, now, answered)
  local line = answered and slots._cooling or slots._unanswered
  line[#line + 1] = now + slots.lap
  if line[1] <= now then Slots.expire(slots, now) end
end

function Slots.keep_newest(slots, count)
  local surplus = #slots._cooling - max(0, count)
  if surplus > 0 then
    drop(slots._cooling, surplus)
    slots._in_use = slots._in_use - surplus
  end
end

function Slots.hold(slots, count, until_)
  slots.held, slots._held_until = count, until_
end

function Slots.changes_at(slots, now)
  Slots.expire(slots, now)
  local at = min(slots._cooling[1] or INF, slots._unanswered[1] or INF)
  if slots.held > 0 then at = min(at, slots._held_until) end
  return at
end

function Slots.returns(slots, now)
  if slots._unanswered[1] then return merged(slots._cooling, slots._unanswered) end
  if slots._cooling[1] then return slots._cooling end
  return {now + slots.lap}
end

function Slots.oldest_received(slots, now)
  Slots.expire(slots, now)
  if slots._cooling[1] then return slots._cooling[1] - slots.lap end
  return INF
end

function Slots.earliest(slots, now)
  local calls = slots.window.calls
  if slots._in_use < calls or Slots.used(slots, now) < calls then return now end
  local over = slots._in_use - calls
  return (Slots.returns(slots, now)[over % calls + 1] or now + slots.lap) + floor(over / calls) * slots.lap
end

-- Demand and reserve ------------------------------------------------------------------------------------------------

local GRANTS, SIGMAS, SHORT, MEMORY = 10, 2.5, 1.0, 3.0
local Demand, Reserve = {}, {}

function Demand.new(memory)
  return {memory = memory, _began = 0 / 0, _weight = 0, _weighed_at = 0, _fresh = 0}
end

function Demand.begin(demand, now)
  demand._began, demand._weighed_at = now, now
end

function Demand.weigh(demand, now)
  demand._weight = demand._weight * exp((demand._weighed_at - now) / demand.memory) + demand._fresh
  demand._weighed_at, demand._fresh = now, 0
end

function Demand.granted(demand, now)
  demand._fresh = demand._fresh + 1
  if now > demand._weighed_at + SHORT then Demand.weigh(demand, now) end
end

function Demand.rate(demand, now)
  if demand._fresh == 0 and demand._weight == 0 then return 0 end
  Demand.weigh(demand, now)
  local seconds = demand.memory * rise(max(SHORT, now - demand._began) / demand.memory)
  return demand._weight / seconds * GRANTS / (GRANTS - 1)
end

local function need(expected)
  return ceil(expected + SIGMAS * sqrt(max(0, expected)))
end

local function lasts(slots, rate)
  if slots < 0 or rate == 0 then return 0 end
  local root = (sqrt(SIGMAS * SIGMAS + 4 * slots) - SIGMAS) / 2
  return max(SHORT, root * root / rate)
end

function Reserve.of(rate_limit, window)
  local half = floor(window.calls / 2)
  return {
    least = min(rate_limit.interactive_reserve, half), most = half,
    seconds = window.seconds > SHORT and window.seconds or 0,
  }
end

function Reserve.opens_at(reserve, spare, rate, returns)
  local at, enough = -INF, min(reserve.most, reserve.least + need(rate * reserve.seconds))
  for i, moment in ipairs(returns) do
    local slots = spare + i - 1
    if slots >= enough then break end
    at = max(at, moment - lasts(slots - reserve.least, rate))
  end
  return at
end

-- What the headers prove ----------------------------------------------------------------------------------------------

local PROOF, OTHERS, MARGIN = 8, 5, 0.05
local Evidence = {}

local function reading_left(reading, grants)
  return reading.remaining - reading.in_flight - (grants - reading.grants)
end

function Evidence.new(seconds)
  return {seconds = seconds, _climbs = 0, _top = 0, _doubted_until = 0, _rolled_by = 0, _base = 0}
end

function Evidence.trusted(evidence, now)
  return evidence._climbs >= PROOF and now >= evidence._doubted_until
end

function Evidence.doubt(evidence, until_)
  evidence._doubted_until = max(evidence._doubted_until, until_)
  evidence._countdown = nil
end

local function may_have_ended(evidence, now)
  local lasted = not evidence._rolled_after or now >= evidence._rolled_after + evidence.seconds * (1 - 2 * DRIFT)
  return lasted and (not evidence._countdown or now >= evidence._countdown.earliest)
end

local function roll(evidence, reading, before, known)
  evidence._base, evidence._top = known, reading.counted
  local ended = may_have_ended(evidence, reading.received)
  if not ended then Evidence.doubt(evidence, reading.received + evidence.seconds) end
  if not ended or evidence._climbs < PROOF then
    evidence._climbs = 0
    return
  end
  if before then evidence._rolled_after = before.sent end
  evidence._rolled_by = reading.received
end

local function compare(evidence, reading, before, possible, known)
  local growth = reading.counted - before.counted
  if growth < 1 then
    roll(evidence, reading, before, known)
  elseif growth > 2 * possible + OTHERS then
    evidence._climbs, evidence._top = 0, reading.counted
  elseif reading.counted > evidence._top then
    evidence._climbs, evidence._top = evidence._climbs + 1, reading.counted
  end
end

function Evidence.learn(evidence, reading, before, possible, known)
  if reading.sent < evidence._rolled_by then return end
  if reading.counted <= reading.known - evidence._base then
    roll(evidence, reading, before, known)
  elseif before and before.sent >= evidence._rolled_by then
    compare(evidence, reading, before, possible, known)
  end
  if not evidence.last or reading.sent > evidence.last.sent then evidence.last = reading end
end

function Evidence.learn_reset(evidence, reading, advice)
  if not advice.reset then return end
  local slack = advice.slack + evidence.seconds * DRIFT
  local earliest, latest = reading.sent + advice.reset - slack, reading.received + advice.reset + slack
  local known = evidence._countdown
  if not known or earliest > known.latest or latest < known.earliest then
    evidence._countdown = {first = reading.received, earliest = earliest, latest = latest, confirmed = false}
    return
  end
  known.earliest, known.latest = max(known.earliest, earliest), min(known.latest, latest)
  known.confirmed = known.confirmed or reading.sent > known.first + 2 * slack + MARGIN
end

-- The two moments between which the provider's window ends; nothing when that is not certain.
function Evidence.reset_span(evidence, now)
  local known = evidence._countdown
  if not known or not known.confirmed or not Evidence.trusted(evidence, now) then return nil end
  return known.earliest, known.latest + MARGIN
end

function Evidence.fresh_until(evidence, now)
  if not evidence.last then return 0 end
  local _, ends = Evidence.reset_span(evidence, now)
  local old = evidence.last.received + evidence.seconds * (1 + DRIFT)
  return ends and min(old, ends) or old
end

-- Gates -------------------------------------------------------------------------------------------------------------

local Gate = {}

function Gate.new(rate_limit, window)
  return {
    slots = Slots.new(window), evidence = Evidence.new(window.seconds), reserve = Reserve.of(rate_limit, window),
  }
end

function Gate.probe_at(gate, now, last_grant)
  local begins, ends = Evidence.reset_span(gate.evidence, now)
  if begins and max(Slots.oldest_received(gate.slots, now), last_grant) < begins then return ends end
  return INF
end

function Gate.earliest(gate, now)
  local by_slots = Slots.earliest(gate.slots, now)
  if by_slots <= now or not Evidence.trusted(gate.evidence, now) then return by_slots end
  return min(by_slots, max(now, Evidence.reset_span(gate.evidence, now) or now))
end

function Gate.has_ended(gate, now)
  local _, ends = Evidence.reset_span(gate.evidence, now)
  return ends ~= nil and ends <= now
end

function Gate.returns(gate, now)
  local own, _, ends = Slots.returns(gate.slots, now), Evidence.reset_span(gate.evidence, now)
  if not ends then return own end
  local list = {}
  for _, moment in ipairs(own) do
    if moment >= ends then break end
    list[#list + 1] = moment
  end
  list[#list + 1] = ends
  return list
end

function Gate.opens_to_bulk_at(gate, now, rate)
  local reserve, slots = gate.reserve, gate.slots
  local spare = Slots.free(slots, now) - 1
  if reserve.seconds == 0 or rate == 0 then
    local missing = reserve.least - spare
    if missing <= 0 then return -INF end
    return Gate.returns(gate, now)[missing] or now + slots.lap
  end
  return Reserve.opens_at(reserve, spare, rate, Gate.returns(gate, now))
end
