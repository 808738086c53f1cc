-- KEYS[1] times of the last token fetches; ARGV 3.. : id of this one, window in ms, most in the window.
-- 1 when one more may be made (and it is counted), else 0.
local window = tonumber(ARGV[4])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - window)
if redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[5]) then
  return 0
end
redis.call('ZADD', KEYS[1], now, ARGV[3])
redis.call('PEXPIRE', KEYS[1], window)
return 1
