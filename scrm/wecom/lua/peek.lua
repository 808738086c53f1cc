-- What is left of one API: KEYS and the bursts and rates as in acquire.lua. ARGV: now in ms, m burst, m per ms,
-- h burst, h per ms. Answer: {left this minute, left this hour, calls under way, ms until it is open}.
local now = tonumber(ARGV[1])
if now == 0 then
  local t = redis.call('TIME')
  now = t[1] * 1000 + math.floor(t[2] / 1000)
end
local s = redis.call('HMGET', KEYS[1], 'm', 'h', 'at', 'cool')
local passed = math.max(0, now - (tonumber(s[3]) or now))
local left = {}
for i = 1, 2 do
  local burst, rate = tonumber(ARGV[2 * i]), tonumber(ARGV[1 + 2 * i])
  left[i] = math.floor(math.min(burst, (tonumber(s[i]) or burst) + passed * rate))
end
return {left[1], left[2], redis.call('ZCOUNT', KEYS[2], now, '+inf'), math.max(0, (tonumber(s[4]) or 0) - now)}
