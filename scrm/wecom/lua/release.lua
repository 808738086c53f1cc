-- A call has ended. KEYS[1], KEYS[2] as in acquire.lua (here too: f failures in a row, since when), KEYS[3] open
-- circuits of the corp: name -> app, since when. KEYS[4] when WeCom answered the corp last, at whatever API.
-- ARGV 3.. : id, 'answer' | 'silence' | 'nothing', whether it was a probe (1), name of the circuit, app,
-- failures that open it (0: never), first and longest pause in ms.
-- Answer: {'' | 'opened' | 'still' | 'closed', ms until somebody may try again, whether WeCom is silent everywhere (1)}.
redis.call('ZREM', KEYS[2], ARGV[3])
local heard, probe, most = ARGV[4], ARGV[5] == '1', tonumber(ARGV[8])
local s = redis.call('HMGET', KEYS[1], 'open', 'pause', 'f', 'since')
if heard == 'nothing' or most == 0 then
  if probe then
    redis.call('HDEL', KEYS[1], 'probe')
  end
  return {'', 0, 0}
end
if heard == 'answer' then
  redis.call('SET', KEYS[4], now)
  if s[1] or s[3] then
    redis.call('HDEL', KEYS[1], 'open', 'pause', 'probe', 'f', 'since')
  end
  if not s[1] then
    return {'', 0, 0}
  end
  redis.call('HDEL', KEYS[3], ARGV[6])
  return {'closed', 0, 0}
end
local function leave_alone(ms, word)
  redis.call('HSET', KEYS[1], 'open', now, 'pause', ms)
  redis.call('HDEL', KEYS[1], 'probe')
  return {word, ms, 1}
end
if s[1] then
  if probe then
    return leave_alone(math.min(tonumber(ARGV[10]), 2 * tonumber(s[2])), 'still')
  end
  return {'still', math.max(0, tonumber(s[1]) + tonumber(s[2]) - now), 1} -- it left before the circuit opened
end
local failures, since = (tonumber(s[3]) or 0) + 1, tonumber(s[4]) or now
redis.call('HSET', KEYS[1], 'f', failures, 'since', since)
if failures >= most then
  redis.call('HSET', KEYS[3], ARGV[6], ARGV[7] .. ' ' .. shown) -- people read it
  return leave_alone(tonumber(ARGV[9]), 'opened')
end
local answered = tonumber(redis.call('GET', KEYS[4])) or 0
return {'', 0, failures > 1 and answered < since and 1 or 0}
