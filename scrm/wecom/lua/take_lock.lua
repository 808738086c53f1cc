-- KEYS[1] lock, ARGV[1] what its holder will be known by, ARGV[2] ms it may be held. 1 when it is ours now.
-- One that would last longer than any may be held is from before Redis' clock was set back: nobody holds it any more.
if redis.call('PTTL', KEYS[1]) > tonumber(ARGV[2]) then
  redis.call('DEL', KEYS[1])
end
return redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) and 1 or 0
