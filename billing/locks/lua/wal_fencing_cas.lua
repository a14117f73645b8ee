-- WAL_FENCING_CAS: accept a token only if it is strictly greater than the last accepted one.
-- KEYS[1] wal:writer:last_accepted:{environment}   ARGV[1] the incoming token
-- Answers OK, STALE or CORRUPT; only OK writes.
local verdict = fencing_cas(KEYS[1], ARGV[1])
return verdict
