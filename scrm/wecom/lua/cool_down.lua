-- WeCom said 45009 (rate) or 45033 (calls): close this API for a while, for all processes.
-- KEYS as in acquire.lua. ARGV: now in ms (0: Redis's own clock), 'rate' or 'calls', ms to close,
-- ms of jitter on top, longest ms to close. Answer: ms until it is open again.
local now = tonumber(ARGV[1])
if now == 0 then
  local t = redis.call('TIME')
  now = t[1] * 1000 + math.floor(t[2] / 1000)
end
local s = redis.call('HMGET', KEYS[1], 'cool', 'long')
local cool, long = tonumber(s[1]) or 0, tonumber(s[2]) or 0
if now < cool then
  return cool - now -- calls that were under way bring the same news
end
local ms = tonumber(ARGV[3])
if ARGV[2] == 'calls' then
  redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now)
  local cap = math.max(1, math.floor(redis.call('ZCARD', KEYS[2]) / 2))
  redis.call('HSET', KEYS[1], 'cap', cap, 'cap_at', now)
elseif now - cool < 2 * long then
  ms = math.min(tonumber(ARGV[5]), 2 * long) -- closed again soon: it is the hour's or the day's rule
end
local opens = now + ms + tonumber(ARGV[4])
redis.call('HSET', KEYS[1], 'cool', opens)
if ARGV[2] == 'rate' then
  redis.call('HSET', KEYS[1], 'long', ms, 'm', 0, 'at', opens) -- starts again at the rate, not with a burst
end
redis.call('PEXPIRE', KEYS[1], math.max(7200000, 3 * ms))
return opens - now
