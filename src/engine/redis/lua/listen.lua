-- So many connections at a server listen to these addresses. Returns 0, and does nothing, when Redis does not know who else
-- listens there: then all must be said.
-- KEYS[1]: who listens at the server: a hash, never empty while it is known
-- ARGV: connections and address in turn
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
for i = 1, #ARGV, 2 do
  if ARGV[i] == '0' then
    redis.call('HDEL', KEYS[1], ARGV[i + 1])
  else
    redis.call('HSET', KEYS[1], ARGV[i + 1], ARGV[i])
  end
end
return 1
