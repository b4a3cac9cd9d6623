-- One room's history: before the scripts that use it.
--
-- KEYS[1], the head: a hash with `epoch`, `offset` (the newest message's), `count` and `bytes` of what is kept, `life` (of
-- the Redis that wrote last), and for each key that was seen `key:KEY` with its offset.
-- KEYS[2], the messages: a stream, each under 0-OFFSET with `at` (when it came, by Redis' clock), `time`, `json` and maybe `key`.
-- ARGV: 1 life, 2 a new epoch, 3 messages to keep, 4 bytes, 5 age in ms, 6 ms after which all is forgotten
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local text = function(number) return string.format('%.0f', number) end

local head = redis.call('HMGET', KEYS[1], 'epoch', 'offset', 'count', 'bytes', 'life')
local epoch, offset, count, bytes = head[1], tonumber(head[2]), tonumber(head[3]), tonumber(head[4])
if not epoch or redis.call('XLEN', KEYS[2]) ~= count then
  -- It is new, or Redis has lost it or a part of it.
  redis.call('DEL', KEYS[1], KEYS[2])
  epoch, offset, count, bytes = ARGV[2], 0, 0, 0
elseif head[5] ~= ARGV[1] then
  -- Redis was restarted, or another one has taken over: the newest messages, which were told, may be lost.
  epoch = ARGV[2]
end

-- Forgets what is too old or, with so many bytes more, too much. Not all at once, if it is very much: Redis does nothing else
-- meanwhile.
local is_fresh = false
local function trim(more_messages, more_bytes)
  for _ = 1, math.min(count, 1000) do
    local fits = count + more_messages <= tonumber(ARGV[3]) and bytes + more_bytes <= tonumber(ARGV[4])
    if fits and is_fresh then return end
    local oldest = redis.call('XRANGE', KEYS[2], '-', '+', 'COUNT', 1)[1]
    local id, message = oldest[1], oldest[2]
    is_fresh = now - message[2] < tonumber(ARGV[5])
    if fits and is_fresh then return end
    redis.call('XDEL', KEYS[2], id)
    if message[8] then redis.call('HDEL', KEYS[1], 'key:' .. message[8]) end
    count, bytes = count - 1, bytes - #message[6]
  end
end

local function save()
  redis.call('HSET', KEYS[1], 'epoch', epoch, 'offset', text(offset), 'count', text(count), 'bytes', text(bytes),
    'life', ARGV[1])
  redis.call('PEXPIRE', KEYS[1], ARGV[6])
  redis.call('PEXPIRE', KEYS[2], ARGV[6])
end
