-- WeCom said 45009 (rate) or 45033 (calls): close this API for a while, for all processes.
-- KEYS[1], KEYS[2] as in acquire.lua, KEYS[3..] its buckets. ARGV 3.. : 'rate' or 'calls', ms to close, share of jitter
-- on top, longest ms to close, whether a day's rule may be behind it (1), then per bucket its windows as in prelude.lua.
-- Answer: ms until it is open again.
local s = redis.call('HMGET', KEYS[1], 'cool', 'long')
local cool, long = tonumber(s[1]) or 0, tonumber(s[2]) or 0
if now < cool then
  return cool - now -- calls that were under way bring the same news
end
local ms, jitter = tonumber(ARGV[4]), 1 + tonumber(ARGV[5])
local rate = ARGV[3] == 'rate'
if rate and now - cool < 2 * long then
  ms = 2 * long -- closed again soon: it is the hour's or the day's rule
end
ms = math.min(ms, ARGV[7] == '1' and to_midnight or tonumber(ARGV[6]))
local opens = math.ceil(now + ms * jitter)
redis.call('HSET', KEYS[1], 'cool', opens)
if not rate then
  redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now)
  redis.call('HSET', KEYS[1], 'cap', math.max(1, math.floor(redis.call('ZCARD', KEYS[2]) / 2)), 'cap_at', now)
  return opens - now
end
redis.call('HSET', KEYS[1], 'long', ms)
local at = 8
for k = 3, #KEYS do
  local found, life
  found, at, life = windows(KEYS[k], at)
  local values = {'at', opens}
  for _, w in ipairs(found) do
    if w.b > 0 then -- starts again at the minute's rate, not with a burst
      values[#values + 1] = w.name
      values[#values + 1] = w.seconds == 60 and 0 or w.left
    end
  end
  redis.call('HSET', KEYS[k], unpack(values))
  redis.call('PEXPIRE', KEYS[k], math.max(life, 3 * ms))
end
return opens - now
