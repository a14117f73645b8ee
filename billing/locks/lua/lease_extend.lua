-- Extend a lease only if it is still the holder's.   KEYS[1] lease   ARGV[1] holder   ARGV[2] milliseconds
-- Answers 1 when extended, 0 when it belongs to someone else or to nobody.
if redis.call('GET', KEYS[1]) == ARGV[1] then
  return redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
return 0
