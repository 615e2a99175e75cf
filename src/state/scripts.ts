/**
 * What Redis does in one piece, in its Lua. Time is Redis's own, so that no router's clock counts.
 */

/** Keeps a map's value unless a later one is there, and tells it. KEYS: the map. ARGV: field, at, value, channel, message. */
export const putScript = `
local known = redis.call('HGET', KEYS[1], ARGV[1])
if known then
  local at = tonumber(string.match(known, '^(%d+)%.'))
  if at and (at > tonumber(ARGV[2]) or (at == tonumber(ARGV[2]) and known >= ARGV[3])) then return 0 end
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
redis.call('PUBLISH', ARGV[4], ARGV[5])
return 1`;

/** Forgets a map's value, if it is still this one. KEYS: the map. ARGV: field, value. */
export const dropScript = `
if redis.call('HGET', KEYS[1], ARGV[1]) == ARGV[2] then return redis.call('HDEL', KEYS[1], ARGV[1]) end
return 0`;

/** A bucket that fills in time; seconds until one may come, or -1. KEYS: the bucket. ARGV: a second, at most. */
export const rateScript = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local perMs, most = tonumber(ARGV[1]) / 1000, tonumber(ARGV[2])
local kept = redis.call('HMGET', KEYS[1], 'tokens', 'at')
local tokens = tonumber(kept[1]) or most
local since = math.max(0, now - (tonumber(kept[2]) or now))
tokens = math.min(most, tokens + since * perMs)
if tokens < 1 then return math.ceil((1 - tokens) / perMs / 1000) end
redis.call('HSET', KEYS[1], 'tokens', tostring(tokens - 1), 'at', tostring(now))
redis.call('PEXPIRE', KEYS[1], math.ceil(most / perMs))
return -1`;

/** A member's places are \`COUNT:END\`, its end in Redis's milliseconds; those that ended are given back. */
const others = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function count(key, own)
  local sum = 0
  local fields = redis.call('HGETALL', key)
  for i = 1, #fields, 2 do
    local places, ends = string.match(fields[i + 1], '^(%d+):(%d+)$')
    if not ends or tonumber(ends) <= now then redis.call('HDEL', key, fields[i])
    elseif fields[i] ~= own then sum = sum + tonumber(places) end
  end
  return sum
end
local function hold(key, own, places, last)
  if places == 0 then redis.call('HDEL', key, own)
  else
    redis.call('HSET', key, own, string.format('%d:%d', places, now + last))
    redis.call('PEXPIRE', key, last)
  end
end`;

/**
 * As many places more as there are under a cap; says how many. KEYS: the cap's. ARGV: who, how many it has, how many
 * more it wants, the cap, for how many milliseconds.
 */
export const leaseScript = `${others}
local has, wants, cap, last = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local granted = math.max(0, math.min(wants, cap - has - count(KEYS[1], ARGV[1])))
hold(KEYS[1], ARGV[1], has + granted, last)
return granted`;

/** Says how many places one has. KEYS: each cap's. ARGV: who, for how many milliseconds, how many of each. */
export const holdScript = `${others}
for i, key in ipairs(KEYS) do hold(key, ARGV[1], tonumber(ARGV[i + 2]), tonumber(ARGV[2])) end
return 0`;
