-- A server ends.
-- KEYS: as for beat. ARGV: 1 server, 2 everybody's channel
redis.call('ZREM', KEYS[1], ARGV[1])
redis.call('DEL', KEYS[2])
redis.call('PUBLISH', ARGV[2], 'g\n' .. ARGV[1])
return 0
