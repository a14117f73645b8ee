-- One request against a sliding window of `window_ms`, counted and decided in one call.
-- KEYS[1]  the bucket of one subject, a hash: window, current, previous
-- ARGV     limit, window_ms
-- Answers  {allowed (1 or 0), remaining, wait_ms}; a refused request is not counted
local limit, window_ms = tonumber(ARGV[1]), tonumber(ARGV[2])
local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000)
local window = math.floor(now / window_ms)
local elapsed = now - window * window_ms

local stored = redis.call('HMGET', KEYS[1], 'window', 'current', 'previous')
local last, current, previous = tonumber(stored[1] or -1), tonumber(stored[2] or 0), tonumber(stored[3] or 0)
if last == window - 1 then
  previous, current = current, 0
elseif last ~= window then
  previous, current = 0, 0
end

-- The previous window counts for the part of it that still lies within window_ms from now, rounded up.
local used = math.ceil(previous * (window_ms - elapsed) / window_ms) + current
if used >= limit then
  return {0, 0, window_ms - elapsed}
end
redis.call('HSET', KEYS[1], 'window', window, 'current', current + 1, 'previous', previous)
redis.call('PEXPIRE', KEYS[1], 2 * window_ms)
return {1, limit - used - 1, 0}
