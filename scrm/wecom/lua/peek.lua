-- What is left of one API. KEYS[1], KEYS[2] as in acquire.lua, KEYS[3..] buckets. ARGV 3.. : per bucket its windows as
-- in prelude.lua. Answer: {calls under way, ms until WeCom opens it, pause of its circuit in ms, ms since the circuit
-- opened or -1, whether one call tries now (1)}, then what is left of each window as text.
local s = redis.call('HMGET', KEYS[1], 'cool', 'pause', 'open', 'probe')
local answer = {
  redis.call('ZCOUNT', KEYS[2], now, '+inf'),
  math.max(0, (tonumber(s[1]) or 0) - now),
  tonumber(s[2]) or 0,
  s[3] and now - tonumber(s[3]) or -1,
  now < (tonumber(s[4]) or 0) and 1 or 0,
}
local at = 3
for k = 3, #KEYS do
  local found
  found, at = windows(KEYS[k], at)
  for _, w in ipairs(found) do
    answer[#answer + 1] = tostring(w.left)
  end
end
return answer
