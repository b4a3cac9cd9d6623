-- What there is of a room.
-- KEYS[3]: the set of servers that have members in it.
-- ARGV: 7 an epoch that was told, 8 the newest offset that was told of it, 9 the asking server, 10 what keys of who is where
-- begin with, 11 the asking server's channel, 12 a mark: what comes on any channel before it is in the answer
if epoch == ARGV[7] and offset < tonumber(ARGV[8]) then
  -- Redis has lost messages. Never two truths about an offset.
  epoch = ARGV[2]
end
trim(0, 0)
save()
local messages, members = {}, {}
for _, entry in ipairs(redis.call('XRANGE', KEYS[2], '-', '+')) do
  messages[#messages + 1] = string.sub(entry[1], 3)
  messages[#messages + 1] = entry[2][4]
  messages[#messages + 1] = entry[2][6]
end
for _, node in ipairs(redis.call('SMEMBERS', KEYS[3])) do
  local users = redis.call('HGETALL', ARGV[10] .. node)
  if #users == 0 then
    redis.call('SREM', KEYS[3], node)
  elseif node ~= ARGV[9] then
    members[#members + 1] = { node, users }
  end
end
redis.call('PUBLISH', ARGV[11], 'k\n' .. ARGV[12])
return { epoch, text(offset), messages, members }
