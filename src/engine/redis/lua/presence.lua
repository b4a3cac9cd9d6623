-- So many connections of a user are in a room at a server. Returns 0, and does nothing, when Redis does not know who else is
-- there at that server: then all must be said.
-- KEYS: 1 the set of servers that have members in it, 2 this server's users there: a hash, never empty while it is known
-- ARGV: 1 server, 2 its life in ms, 3 the room's channel, 4 user, 5 connections, 6 whether it has left for good (1)
if redis.call('EXISTS', KEYS[2]) == 0 then return 0 end
if ARGV[5] == '0' then
  redis.call('HDEL', KEYS[2], ARGV[4])
else
  redis.call('HSET', KEYS[2], ARGV[4], ARGV[5])
end
redis.call('SADD', KEYS[1], ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
redis.call('PEXPIRE', KEYS[2], ARGV[2])
redis.call('PUBLISH', ARGV[3], 'p\n' .. ARGV[1] .. '\n' .. ARGV[5] .. '\n' .. ARGV[6] .. '\n' .. ARGV[4])
return 1
