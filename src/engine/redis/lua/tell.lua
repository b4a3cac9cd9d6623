-- A note to those of an address at all other servers. Returns how many connections they are.
-- KEYS[1]: the servers, by when they were last heard
-- ARGV: 1 the asking server, 2 and 3 what is before and behind a server in the key of who listens there, 4 the address,
-- 5 the note, 6 ms after which a server that is silent is gone, 7 what servers' channels begin with
local clock = redis.call('TIME')
local since = string.format('%.0f', clock[1] * 1000 + math.floor(clock[2] / 1000) - ARGV[6])
local connections = 0
for _, node in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], since, '+inf')) do
  local some = node ~= ARGV[1] and redis.call('HGET', ARGV[2] .. node .. ARGV[3], ARGV[4])
  -- A server that was killed hears nothing, although it is still in the list.
  if some and 0 < redis.call('PUBLISH', ARGV[7] .. node, ARGV[5]) then
    connections = connections + some
  end
end
return connections
