-- One turn at one API of one app, decided for all processes at once.
-- KEYS[1] state: m, h tokens left for the minute and the hour; at their time; cool until when it is closed;
--         cap, cap_at the number of calls at once learned from 45033 and when.
-- KEYS[2] calls under way: id -> when its slot ends by itself.
-- ARGV: now in ms (0: Redis's own clock), id, share kept free for those who go first, m burst, m per ms,
--       h burst, h per ms, calls at once, life of a slot in ms, ms in which the learned cap grows by one.
-- Answer: {1, 0, ''} or {0, ms to wait, why}.
local now = tonumber(ARGV[1])
if now == 0 then
  local t = redis.call('TIME')
  now = t[1] * 1000 + math.floor(t[2] / 1000)
end
local reserve, calls = tonumber(ARGV[3]), tonumber(ARGV[8])
local s = redis.call('HMGET', KEYS[1], 'm', 'h', 'at', 'cool', 'cap', 'cap_at')
local cool = tonumber(s[4]) or 0
if now < cool then
  return {0, cool - now, 'cooldown'}
end
local passed = math.max(0, now - (tonumber(s[3]) or now))
local wait, left = 0, {}
for i = 1, 2 do
  local burst, rate = tonumber(ARGV[2 + 2 * i]), tonumber(ARGV[3 + 2 * i])
  left[i] = math.min(burst, (tonumber(s[i]) or burst) + passed * rate)
  local need = math.min(burst, 1 + reserve * burst)
  if left[i] < need then
    wait = math.max(wait, math.ceil((need - left[i]) / rate))
  end
end
if wait > 0 then
  return {0, wait, 'rate'}
end
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now)
if s[5] then
  calls = math.min(calls, tonumber(s[5]) + math.floor((now - tonumber(s[6])) / tonumber(ARGV[10])))
end
if redis.call('ZCARD', KEYS[2]) >= math.max(1, math.floor(calls * (1 - reserve))) then
  return {0, 20, 'calls'}
end
redis.call('HSET', KEYS[1], 'm', left[1] - 1, 'h', left[2] - 1, 'at', now)
redis.call('PEXPIRE', KEYS[1], 7200000)
redis.call('ZADD', KEYS[2], now + tonumber(ARGV[9]), ARGV[2])
redis.call('PEXPIRE', KEYS[2], ARGV[9])
return {1, 0, ''}
