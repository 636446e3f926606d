-- What a limit is, and what to do after a refusal, as in ``_rate_limit`` and ``_caution``.

local RateLimit = {}

function RateLimit.reserve_of(limit, calls)
  return min(limit.interactive_reserve, floor(calls / 2))
end

local function rates(limit)
  local list = {}
  for i, window in ipairs(limit.windows) do list[i] = window.calls / window.seconds end
  if not list[1] and limit.pace then list[1] = 1 / limit.pace end
  return list
end

local function lengths(limit)
  local list = {}
  for i, window in ipairs(limit.windows) do list[i] = window.seconds end
  return list
end

-- The least or the greatest of a list, as is chosen; of an empty one, something else.
local function best(choose, list, otherwise)
  local found = list[1] or otherwise
  for _, item in ipairs(list) do found = choose(found, item) end
  return found
end

function RateLimit.steady(limit) return best(min, rates(limit), INF) end
function RateLimit.briskest(limit) return best(max, rates(limit), INF) end
function RateLimit.shortest(limit) return best(min, lengths(limit), 1) end
function RateLimit.longest(limit) return best(max, lengths(limit), 60) end

function RateLimit.same(one, other)
  if one.parallel ~= other.parallel or one.pace ~= other.pace or #one.windows ~= #other.windows
    or one.interactive_reserve ~= other.interactive_reserve then
    return false
  end
  for i, window in ipairs(one.windows) do
    if window.calls ~= other.windows[i].calls or window.seconds ~= other.windows[i].seconds then return false end
  end
  return true
end

local function implies(one, other)
  return one.calls * ceil(other.seconds / one.seconds * (1 - 1e-9)) <= other.calls
end

local function binding(windows)
  local list = {}
  for i, one in ipairs(windows) do
    local binds = true
    for k, two in ipairs(windows) do binds = binds and not (k ~= i and implies(two, one)) end
    if binds then list[#list + 1] = one end
  end
  return list
end

-- The better of two, where either may be missing.
local function either(choose, one, other)
  if one and other then return choose(one, other) end
  return one or other
end

function RateLimit.tighter(one, other)
  local windows, at = {}, {}
  for _, limit in ipairs({one, other}) do
    for _, window in ipairs(limit.windows) do
      local place = at[window.seconds]
      if place then
        windows[place].calls = min(windows[place].calls, window.calls)
      else
        windows[#windows + 1] = {calls = window.calls, seconds = window.seconds}
        at[window.seconds] = #windows
      end
    end
  end
  return {
    windows = binding(windows), parallel = either(min, one.parallel, other.parallel),
    pace = either(max, one.pace, other.pace),
    interactive_reserve = max(one.interactive_reserve, other.interactive_reserve),
  }
end

-- The learned pace ----------------------------------------------------------------------------------------------------

local SLOWER, FASTER, SLOWEST, LONGEST_WHILE = 0.8, 0.05, 0.05, 3600
local Pace = {}

function Pace.new(rate, patience)
  return {rate = rate, patience = patience, next_at = 0, _first = rate, _grown = 0, _clean_since = 0}
end

function Pace.spend(pace, now)
  if now >= pace._clean_since + pace.patience then
    pace._clean_since = now
    pace._grown = pace._grown + FASTER * pace._first
    pace.rate = pace.rate + FASTER * pace._first
  end
  pace.next_at = max(now, pace.next_at) + 1 / pace.rate
end

function Pace.rest(pace, until_)
  pace.next_at, pace._clean_since = until_, until_
end

function Pace.slow_down(pace)
  if pace._grown ~= 0 then
    pace.rate, pace._grown = pace.rate - pace._grown, 0
  else
    pace.rate = max(pace.rate * SLOWER, pace._first * SLOWEST)
  end
  pace.patience = min(LONGEST_WHILE, 2 * pace.patience)
end

-- Caution -------------------------------------------------------------------------------------------------------------

local FIRST_PAUSE, LONGEST_PAUSE, JITTER, BREATHER, RESERVE, TOO_MANY_PARALLEL = 1, 60, 0.1, 4, 1, -1
local FREE, ONE_BY_ONE, CAREFUL = "free", "one by one", "careful"
local UNIFORM = tonumber(ARGV[3]) -- between 0 and 1, for the jitter of this turn's pauses
local Caution = {}

function Caution.new(rate_limit)
  return {
    rate_limit = rate_limit, parallel = rate_limit.parallel, refusals = 0, paused_until = -INF, stage = FREE,
    _began = -INF, _streak = 0, _halved_at = -INF, _awaits_end = false, _successes = 0,
  }
end

function Caution.pace(caution, left)
  if caution.stage ~= CAREFUL then return nil end
  if left then return caution.brisk end
  return caution.steady
end

function Caution.opens_at(caution, in_flight)
  if in_flight > 0 and (caution._awaits_end or caution.stage == ONE_BY_ONE) then return INF end
  return caution.paused_until
end

function Caution.is_enough(caution, left)
  return left > (caution.stage == CAREFUL and RESERVE or 0)
end

function Caution.granted(caution, now, left)
  local pace = Caution.pace(caution, left)
  if pace then Pace.spend(pace, now) end
end

local function become_careful(caution, now)
  caution.stage, caution._streak = CAREFUL, 0
  if caution.steady then Pace.rest(caution.steady, now + BREATHER / caution.steady.rate) end
  if caution.brisk then Pace.rest(caution.brisk, now + BREATHER / caution.brisk.rate) end
end

function Caution.accepted(caution, granted_at, now)
  caution._awaits_end = false
  if caution.stage == ONE_BY_ONE and granted_at >= caution._began then become_careful(caution, now) end
  if caution.parallel and caution.parallel ~= caution.rate_limit.parallel then
    caution._successes = caution._successes + 1
    if caution._successes >= caution.parallel then
      caution._successes, caution.parallel = 0, caution.parallel + 1
    end
  end
end

function Caution.ended(caution)
  caution._awaits_end = false
end

function Caution.pause(caution, now, seconds)
  seconds = seconds + min(1, JITTER * seconds) * UNIFORM
  caution.paused_until = max(caution.paused_until, now + seconds)
  return caution.paused_until - now
end

local function slower(caution, pace, first)
  if not pace then return Pace.new(first, RateLimit.longest(caution.rate_limit)) end
  Pace.slow_down(pace)
  return pace
end

local function slow_down(caution, left)
  local limit = caution.rate_limit
  if left and Caution.is_enough(caution, left) then
    caution.brisk = slower(caution, caution.brisk, SLOWER * RateLimit.briskest(limit))
  elseif caution.stage ~= ONE_BY_ONE then
    local first = RateLimit.steady(limit)
    if not limit.windows[1] then first = SLOWER * first end
    caution.steady = slower(caution, caution.steady, first)
  end
end

local function too_many(caution, granted_at, now, in_flight)
  if granted_at > caution._halved_at then
    caution.parallel = max(1, floor((in_flight + 1) / 2))
    caution._halved_at, caution._successes = now, 0
  end
  caution._awaits_end = in_flight > 0
  if in_flight > 0 then return 0 end
  return Caution.pause(caution, now, FIRST_PAUSE * (0.5 + 0.5 * UNIFORM))
end

function Caution.refused(caution, granted_at, now, retry_after, in_flight, left)
  caution.refusals = caution.refusals + 1
  if retry_after == TOO_MANY_PARALLEL then return too_many(caution, granted_at, now, in_flight) end
  if granted_at >= max(caution._began, caution.paused_until) then
    caution._streak = caution._streak + 1
    slow_down(caution, left)
    caution._began = now
  elseif caution.stage == FREE then
    caution._began = now
  end
  caution.stage = ONE_BY_ONE
  if not retry_after or retry_after == 0 then
    retry_after = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ^ min(caution._streak - 1, 30))
  end
  return Caution.pause(caution, now, retry_after)
end
