-- How a room stands, which changes nothing: epoch, offset, and how many users with how many connections are in it.
-- KEYS: 1 head, 2 the set of servers that have members in it. ARGV[1]: what keys of who is where begin with
local head = redis.call('HMGET', KEYS[1], 'epoch', 'offset')
local seen, users, connections = {}, 0, 0
for _, node in ipairs(redis.call('SMEMBERS', KEYS[2])) do
  local entries = redis.call('HGETALL', ARGV[1] .. node)
  for i = 1, #entries, 2 do
    -- An entry without a name keeps the list alive while nobody is in it.
    if entries[i] ~= '' then
      connections = connections + entries[i + 1]
      if not seen[entries[i]] then
        seen[entries[i]] = true
        users = users + 1
      end
    end
  end
end
return { head[1] or '', head[2] or '0', users, connections }
