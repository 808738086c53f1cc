-- Before every script that asks for the time. ARGV[1]: the time in ms, or '' for Redis's own clock, so that all machines agree;
-- ARGV[2]: ms to add to it.
local function present()
  local given = tonumber(ARGV[1])
  if not given then
    local t = redis.call('TIME')
    given = t[1] * 1000 + math.floor(t[2] / 1000)
  end
  return given + tonumber(ARGV[2])
end
local shown = present()
-- Times that are kept for later are those of a clock that is never set back: where Redis' own is, it goes on from the last
-- time that was seen (to a second), and stays ahead by so much. Else what waits would wait for those hours too.
local clock = 'scrm:clock:' .. (string.match(KEYS[1], '{.-}') or '')
local c = redis.call('HMGET', clock, 'last', 'ahead')
local last, now = tonumber(c[1]) or 0, shown + (tonumber(c[2]) or 0)
if now < last - 1000 then
  redis.call('HSET', clock, 'ahead', last - shown)
  now = last
elseif now > last + 1000 then
  redis.call('HSET', clock, 'last', now)
end
local DAY = 86400000
local today = math.floor((shown + 28800000) / DAY) -- WeCom's days are Beijing's
local to_midnight = (today + 1) * DAY - 28800000 - shown
-- Windows of one bucket, from ARGV[at]: how many, then three values each: seconds, figure a, figure b.
-- One that flows: a its burst, b what comes back per ms. One that is counted (b = 0): a what its days may hold.
-- Answer: what is left of each; where the next bucket begins; how long the bucket must be kept, in ms.
local function windows(key, at)
  local found, names, life = {}, {'at'}, 7200000
  for i = 1, tonumber(ARGV[at]) do
    local p = at + 1 + (i - 1) * 3
    local w = {seconds = tonumber(ARGV[p]), a = tonumber(ARGV[p + 1]), b = tonumber(ARGV[p + 2]), from = #names + 1}
    if w.b > 0 then
      w.name = 'w' .. ARGV[p]
      names[w.from] = w.name
    else
      life = 32 * DAY
      for day = today - w.seconds / 86400 + 1, today do
        names[#names + 1] = 'd' .. day
      end
    end
    w.to = #names
    found[i] = w
  end
  local kept = redis.call('HMGET', key, unpack(names))
  local passed = math.max(0, now - (tonumber(kept[1]) or now))
  for _, w in ipairs(found) do
    if w.b > 0 then
      w.left = math.min(w.a, (tonumber(kept[w.from]) or w.a) + passed * w.b)
    else
      w.left = w.a
      for n = w.from, w.to do
        w.left = w.left - (tonumber(kept[n]) or 0)
      end
    end
  end
  return found, at + 1 + #found * 3, life
end
