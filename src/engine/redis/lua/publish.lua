-- ARGV: 7 the room's channel, 8 key or nothing, 9 time, 10 the message's JSON behind its offset
trim(0, 0)
local seen = ARGV[8] ~= '' and redis.call('HGET', KEYS[1], 'key:' .. ARGV[8])
if seen then
  save()
  return { epoch, tonumber(seen) }
end
local id = text(offset + 1)
local json = '{"offset":' .. id .. ARGV[10]
if tonumber(ARGV[4]) < #json then
  save()
  return redis.error_reply('TOOLARGE the room keeps ' .. ARGV[4] .. ' bytes, and this is more')
end
-- Only now: a key that was seen may be the oldest message's.
trim(1, #json)
offset, count, bytes = offset + 1, count + 1, bytes + #json
if ARGV[8] ~= '' then
  redis.call('XADD', KEYS[2], '0-' .. id, 'at', text(now), 'time', ARGV[9], 'json', json, 'key', ARGV[8])
  redis.call('HSET', KEYS[1], 'key:' .. ARGV[8], id)
else
  redis.call('XADD', KEYS[2], '0-' .. id, 'at', text(now), 'time', ARGV[9], 'json', json)
end
trim(0, 0)
save()
redis.call('PUBLISH', ARGV[7], 'm\n' .. epoch .. '\n' .. id .. '\n' .. ARGV[9] .. '\n' .. json)
return { epoch, offset }
