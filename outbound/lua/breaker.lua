-- One step of a circuit breaker, in one call; the rules and their reasons are those of outbound/breaker.py.
-- KEYS[1]  the circuit, a hash: state, failures (moments joined by ","), opened_at, probe, probe_at, forced_until
-- ARGV     step (admit, succeed, fail, read, force_open or force_close), admission (force_open: for how many ms),
--          failures that open, window_ms, open_ms, probe_ms
-- Answers  {state before, state after, admitted (1 or 0), admission, wait_ms, number of remembered failures}
local step, admission = ARGV[1], tonumber(ARGV[2])
local failures_max, window_ms = tonumber(ARGV[3]), tonumber(ARGV[4])
local open_ms, probe_ms = tonumber(ARGV[5]), tonumber(ARGV[6])

local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000)

local stored = redis.call('HMGET', KEYS[1], 'state', 'failures', 'opened_at', 'probe', 'probe_at', 'forced_until')
local before = stored[1] or 'CLOSED'
local state = before
local failures = {}
for moment in string.gmatch(stored[2] or '', '%d+') do
  failures[#failures + 1] = tonumber(moment)
end
local opened_at, probe, probe_at = tonumber(stored[3] or 0), tonumber(stored[4] or 0), tonumber(stored[5] or 0)
local forced_until = tonumber(stored[6] or 0)
local admitted, granted, wait_ms, changed = 0, 0, 0, false

local function remember(moments)
  failures = {}
  for index = math.max(1, #moments - failures_max + 1), #moments do
    failures[#failures + 1] = moments[index]
  end
end

if step == 'admit' then
  if state == 'CLOSED' then
    admitted = 1
  elseif now < forced_until then
    wait_ms = forced_until - now
  else
    local since, period = opened_at, open_ms
    if state == 'HALF_OPEN' then since, period = probe_at, probe_ms end
    local elapsed = now - since
    if elapsed >= 0 and elapsed < period then
      wait_ms = period - elapsed
    else
      state, probe, probe_at = 'HALF_OPEN', probe + 1, now
      admitted, granted, changed = 1, probe, true
    end
  end
elseif step == 'succeed' then
  if state == 'CLOSED' and admission == 0 and #failures > 0 then
    failures, changed = {}, true
  elseif state == 'HALF_OPEN' and admission == probe then
    state, failures, opened_at, probe_at, forced_until, changed = 'CLOSED', {}, 0, 0, 0, true
  end
elseif step == 'force_open' then
  state, opened_at, forced_until, changed = 'OPEN', now, now + admission, true
elseif step == 'force_close' then
  state, failures, opened_at, probe_at, forced_until, changed = 'CLOSED', {}, 0, 0, 0, true
elseif step == 'fail' then
  if state == 'HALF_OPEN' and admission == probe then
    failures[#failures + 1] = now
    remember(failures)
    state, opened_at, changed = 'OPEN', now, true
  elseif state == 'CLOSED' and admission == 0 then
    local recent = {}
    for _, moment in ipairs(failures) do
      if now - moment >= 0 and now - moment <= window_ms then recent[#recent + 1] = moment end
    end
    recent[#recent + 1] = now
    failures, changed = recent, true
    if #recent >= failures_max then
      remember(recent)
      state, opened_at = 'OPEN', now
    end
  end
end

if changed then
  redis.call('HSET', KEYS[1], 'state', state, 'failures', table.concat(failures, ','),
    'opened_at', opened_at, 'probe', probe, 'probe_at', probe_at, 'forced_until', forced_until)
  redis.call('PEXPIRE', KEYS[1], math.max(math.max(window_ms, open_ms, probe_ms) * 10, forced_until - now + open_ms))
end
return {before, state, admitted, granted, wait_ms, #failures}
