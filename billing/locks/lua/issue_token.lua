-- Issue the next token to the holder of the lease and pass it through the CAS, all in one step.
-- KEYS[1] lease   KEYS[2] issuer   KEYS[3] last accepted
-- ARGV[1] holder   ARGV[2] floor: the token of the stream's row, which the next one must exceed
-- Answers {OK, token}, {LOST_LEASE, holder}, {OVERFLOW, issued}, {STALE, token, stored} or {CORRUPT, which, stored}.
local holder = redis.call('GET', KEYS[1])
if holder ~= ARGV[1] then
  return {'LOST_LEASE', holder or ''}
end

local issued, issued_text = stored_token(KEYS[2])
if not issued then
  return {'CORRUPT', 'issuer', issued_text}
end

-- A flush or a stale replica may have put the counter back below the row; the row is the authority.
local floor = canonical_token(ARGV[2])
if not floor then
  return redis.error_reply('ERR the floor is not a canonical token')
end
local base = math.max(issued, floor)
if base >= MAX_SAFE_INTEGER then
  return {'OVERFLOW', string.format('%.0f', base)}
end

local token = string.format('%.0f', base + 1)
redis.call('SET', KEYS[2], token)
local verdict, stored_text = fencing_cas(KEYS[3], token)
if verdict == 'CORRUPT' then
  return {'CORRUPT', 'last_accepted', stored_text}
end
return {verdict, token, stored_text}
