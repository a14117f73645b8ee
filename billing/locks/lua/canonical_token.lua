-- Fencing tokens are canonical decimal strings from 0 to 2^53 - 1: "0", or digits without a leading zero.
-- tonumber() alone would also accept 0x10, 1.5, " 7 ", 1e30 and, on some builds, nan.
-- Both functions are shared by the scripts that follow them.
local MAX_SAFE_INTEGER = 9007199254740991

local function canonical_token(text)
  if text == '0' then
    return 0
  end
  if #text > 16 or not string.match(text, '^[1-9]%d*$') then
    return nil
  end
  local number = tonumber(text)
  if number > MAX_SAFE_INTEGER then
    return nil
  end
  return number
end

-- The stored token of a key: number and text; nil and text when it is none; a missing key is 0.
-- A key of another type is as corrupt as a wrong string.
local function stored_token(key)
  local stored = redis.pcall('GET', key)
  if type(stored) == 'table' then
    if string.find(stored.err or '', 'WRONGTYPE', 1, true) then
      return nil, 'a value of another type'
    end
    error(stored.err or 'GET failed')
  end
  if not stored then
    return 0, ''
  end
  return canonical_token(stored), stored
end

local function fencing_cas(key, incoming)
  local stored, stored_text = stored_token(key)
  local token = canonical_token(incoming)
  if not stored or not token then
    return 'CORRUPT', stored_text
  end
  if token > stored then
    redis.call('SET', key, incoming)
    return 'OK', stored_text
  end
  return 'STALE', stored_text
end
