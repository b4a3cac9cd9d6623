-- All users of a room at a server: these, and nobody else.
-- KEYS: as for presence. ARGV: 1 server, 2 its life in ms, 3 the room's channel, then connections and user in turn
local lines = { 'a', ARGV[1] }
redis.call('DEL', KEYS[2])
redis.call('HSET', KEYS[2], '', 0)
for i = 4, #ARGV, 2 do
  redis.call('HSET', KEYS[2], ARGV[i + 1], ARGV[i])
  lines[#lines + 1] = ARGV[i] .. ' ' .. ARGV[i + 1]
end
redis.call('SADD', KEYS[1], ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
redis.call('PEXPIRE', KEYS[2], ARGV[2])
redis.call('PUBLISH', ARGV[3], table.concat(lines, '\n'))
return 1
