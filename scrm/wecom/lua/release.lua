-- A call has ended. KEYS[1], KEYS[2] as in acquire.lua, KEYS[3] open circuits of the corp: name -> app, since when.
-- ARGV 3.. : id, 'answer' | 'silence' | 'nothing', whether it was a probe (1), name of the circuit, app,
-- failures that open it (0: never), first and longest pause in ms, ms after which a failure is forgotten.
-- Answer: {'' | 'opened' | 'still' | 'closed', ms until somebody may try again}.
redis.call('ZREM', KEYS[2], ARGV[3])
local heard, probe, most = ARGV[4], ARGV[5] == '1', tonumber(ARGV[8])
local s = redis.call('HMGET', KEYS[1], 'open', 'pause', 'f', 'f_at')
if heard == 'nothing' or most == 0 then
  if probe then
    redis.call('HDEL', KEYS[1], 'probe')
  end
  return {'', 0}
end
if heard == 'answer' then
  if s[1] or s[3] then
    redis.call('HDEL', KEYS[1], 'open', 'pause', 'probe', 'f', 'f_at')
  end
  if not s[1] then
    return {'', 0}
  end
  redis.call('HDEL', KEYS[3], ARGV[6])
  return {'closed', 0}
end
local function leave_alone(ms, word)
  redis.call('HSET', KEYS[1], 'open', now, 'pause', ms)
  redis.call('HDEL', KEYS[1], 'probe', 'f', 'f_at')
  return {word, ms}
end
if s[1] then
  if probe then
    return leave_alone(math.min(tonumber(ARGV[10]), 2 * tonumber(s[2])), 'still')
  end
  return {'still', math.max(0, tonumber(s[1]) + tonumber(s[2]) - now)} -- it left before the circuit opened
end
local failures = 1
if s[3] and now - tonumber(s[4]) < tonumber(ARGV[11]) then
  failures = tonumber(s[3]) + 1
end
if failures >= most then
  redis.call('HSET', KEYS[3], ARGV[6], ARGV[7] .. ' ' .. now)
  return leave_alone(tonumber(ARGV[9]), 'opened')
end
redis.call('HSET', KEYS[1], 'f', failures, 'f_at', now)
return {'', 0}
