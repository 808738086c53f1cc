-- One turn at one API, decided for all processes at once: every window, the calls at once, and the circuit.
-- KEYS[1] state: cool until when WeCom closed it; cap, cap_at the calls at once learned from 45033 and when;
--         open since when WeCom does not answer, pause how long it is left alone, probe until when one call tries.
-- KEYS[2] calls under way: id -> when its slot ends by itself. KEYS[3] APIs ever called. KEYS[4..] buckets.
-- ARGV 3.. : API, id, share kept free for those who go first, calls at once, life of a slot in ms, ms in which the
-- learned cap grows by one, longest ms this caller leaves a silent API alone; then per bucket: how much it takes,
-- whether the share is kept free (1), and its windows as in prelude.lua.
-- Answer: {1, 0, '' | 'probe'} or {0, ms to wait, why}.
local reserve, calls, slot = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local s = redis.call('HMGET', KEYS[1], 'cool', 'cap', 'cap_at', 'open', 'pause', 'probe')
local cool = tonumber(s[1]) or 0
if now < cool then
  return {0, cool - now, 'cooldown'}
end
local why = ''
if s[4] then
  local again = tonumber(s[4]) + math.min(tonumber(s[5]), tonumber(ARGV[9]))
  if now < again then
    return {0, again - now, 'circuit'}
  end
  if now < (tonumber(s[6]) or 0) then
    return {0, 1000, 'circuit'}
  end
  why = 'probe'
end
local buckets, at, wait, late = {}, 10, 0, ''
for k = 4, #KEYS do
  local cost, keep = tonumber(ARGV[at]), tonumber(ARGV[at + 1]) * reserve
  local found, life
  found, at, life = windows(KEYS[k], at + 2)
  for _, w in ipairs(found) do
    local need = w.b > 0 and math.min(w.a, cost + keep * w.a) or math.min(w.a, cost)
    if w.left < need then
      local ms = w.b > 0 and math.ceil((need - w.left) / w.b) or to_midnight
      if ms > wait then
        wait, late = ms, w.b > 0 and 'rate' or 'quota'
      end
    end
  end
  buckets[k] = {cost = cost, windows = found, life = life}
end
if wait > 0 then
  return {0, wait, late}
end
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now)
if s[2] then
  calls = math.min(calls, tonumber(s[2]) + math.floor((now - tonumber(s[3])) / tonumber(ARGV[8])))
end
if redis.call('ZCARD', KEYS[2]) >= math.max(1, math.floor(calls * (1 - reserve))) then
  return {0, 20, 'calls'}
end
for k, bucket in pairs(buckets) do
  local values = {'at', now}
  for _, w in ipairs(bucket.windows) do
    if w.b > 0 then
      values[#values + 1] = w.name
      values[#values + 1] = w.left - bucket.cost
    end
  end
  redis.call('HSET', KEYS[k], unpack(values))
  if bucket.life > DAY then
    redis.call('HINCRBY', KEYS[k], 'd' .. today, bucket.cost)
    for day = today - 62, today - 31 do
      redis.call('HDEL', KEYS[k], 'd' .. day)
    end
  end
  redis.call('PEXPIRE', KEYS[k], bucket.life)
end
if why == 'probe' then
  redis.call('HSET', KEYS[1], 'probe', now + slot)
end
redis.call('ZADD', KEYS[2], now + slot, ARGV[4])
redis.call('PEXPIRE', KEYS[2], slot)
redis.call('SADD', KEYS[3], ARGV[3])
return {1, 0, why}
