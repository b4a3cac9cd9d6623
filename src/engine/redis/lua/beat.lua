-- A server is alive. Returns whether its list of who listens is still there.
-- KEYS: 1 the servers, by when they were last heard, 2 who listens at this server
-- ARGV: 1 server, 2 its life in ms, 3 everybody's channel
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
redis.call('ZADD', KEYS[1], string.format('%.0f', now), ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now - 2 * ARGV[2]))
redis.call('PEXPIRE', KEYS[1], 2 * ARGV[2])
redis.call('PUBLISH', ARGV[3], 'b\n' .. ARGV[1])
return redis.call('PEXPIRE', KEYS[2], ARGV[2])
