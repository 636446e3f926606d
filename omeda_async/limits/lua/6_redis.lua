-- One turn of a client. KEYS: the state. ARGV: what the client tells and wants, the server's life, a number between 0
-- and 1, how many seconds the state is kept. Returns the reply and the state.

local kept = redis.call("GET", KEYS[1])
local time = redis.call("TIME")
local ask, state = cleaned(cjson.decode(ARGV[1])), nil
if kept then
  local is_one, found = pcall(load, kept)
  if not is_one then return redis.error_reply("-OMEDANOSTATE no state of limits") end
  if found.version ~= VERSION then return redis.error_reply("-OMEDAVERSION " .. tostring(found.version)) end
  state = found
else
  state = Account.new(ask.rate_limit, ARGV[2])
end
local reply = Account.turn(state, ask, time[1] + time[2] / 1e6, ARGV[2])
local calls = reply.calls or {}
local answer, text = dump_reply(reply), dump(state)
redis.call("SET", KEYS[1], text, "EX", ARGV[4])
for _, name in ipairs(calls) do redis.pcall("PUBLISH", KEYS[1] .. ":" .. name, "") end
return {answer, text}
