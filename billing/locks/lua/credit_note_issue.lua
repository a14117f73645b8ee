-- Add a credit note to a wallet's cached balance unless the balance would pass the cap (plan 11.4).
-- KEYS[1] balance   ARGV[1] delta   ARGV[2] cap   ARGV[3] lifetime in seconds
-- Answers the new balance as a decimal string, or CAP_EXCEEDED with the balance unchanged.
-- A display cache: Postgres decides. A value that is no canonical amount counts as missing and is replaced.
local stored = redis.pcall('GET', KEYS[1])
local balance = 0
if type(stored) == 'string' and #stored <= 16 and (stored == '0' or string.match(stored, '^[1-9]%d*$')) then
  balance = tonumber(stored)
end

if balance + tonumber(ARGV[1]) > tonumber(ARGV[2]) then
  return 'CAP_EXCEEDED'
end
if balance == 0 then
  redis.call('DEL', KEYS[1])
end
redis.call('INCRBY', KEYS[1], ARGV[1])
redis.call('EXPIRE', KEYS[1], ARGV[3])
return string.format('%.0f', balance + tonumber(ARGV[1]))
