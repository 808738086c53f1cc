-- KEYS[1] lock, ARGV[1] what the holder wrote. Only the holder may let go (lesson 30).
if redis.call('GET', KEYS[1]) == ARGV[1] then
  return redis.call('DEL', KEYS[1])
end
return 0
