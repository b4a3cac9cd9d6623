-- A room that a server has open lives on. Returns whether its head, and this server's users in it, are still there.
-- KEYS: 1 head, 2 messages, 3 the set of servers, 4 this server's users there
-- ARGV: 1 ms for the room, 2 ms for the users
redis.call('PEXPIRE', KEYS[2], ARGV[1])
redis.call('PEXPIRE', KEYS[3], ARGV[2])
return { redis.call('PEXPIRE', KEYS[1], ARGV[1]), redis.call('PEXPIRE', KEYS[4], ARGV[2]) }
