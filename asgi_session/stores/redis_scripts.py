"""What RedisStore has the server do: one script for each operation, so that it is atomic and takes one round trip.

Whose clock ends a session? The key carries the time of death itself (``PEXPIREAT``), not the seconds left, and a
script that is asked at or after that time by the client's clock finds nothing, though the server may still hold the
key. So processes agree on the end of a session to the millisecond, and a clock that moves forward ends sessions. But
taken literally, that would end the sessions of a client whose clock is behind too early, or at once. So where it is
behind by `LAG` or more, the difference is added when writing and subtracted when reading: that client lives by the
seconds left on the server. Below that, the difference may as well be the time that the call was on its way. What
remains: the server's clock runs on, so no record outlives its time there, even if the client's clock stands still.
"""

from __future__ import annotations

import hashlib

LAG = 5000
"""ms by which a client's clock may be behind before that counts: as much as a call takes at most by default."""


class Script:
    """A server-side script. ARGV[1] is the client's time in ms; all times below are in ms on the client's clock."""

    _COMMON = f"""
local now = tonumber(ARGV[1])
local clock = redis.call('TIME')
local server = clock[1] * 1000 + math.floor(clock[2] / 1000)
local lag = server - now
if lag < {LAG} then lag = 0 end

-- When a key dies, -1 for never; nil where it is dead.
local function death(key)
  local at = redis.pcall('PEXPIRETIME', key)
  if type(at) == 'table' then  -- an error: Redis 6 does not have the command
    at = redis.call('PTTL', key)
    if at >= 0 then at = server + at end
  end
  if at == -1 then return -1 end
  if at - lag > now then return at - lag end
end

local function set_death(key, at)
  if at > now then
    redis.call('PEXPIREAT', key, string.format('%.0f', at + lag))
  else
    redis.call('DEL', key)
  end
end
"""

    def __init__(self, body: str) -> None:
        source = (self._COMMON + body).encode()
        self.by_source = (b"EVAL", source)
        self.by_hash = (b"EVALSHA", hashlib.sha1(source, usedforsecurity=False).hexdigest().encode())


# One string, "death payload", where that is short: the drivers' parsers need twice as long for an array of two. But Lua
# is slow at joining long ones.
GET = Script("""
local at = death(KEYS[1])
if not at then return false end
local payload = redis.call('GET', KEYS[1])
if #payload > 4096 then return {at, payload} end
return string.format('%.0f ', at) .. payload
""")

CREATE = Script("""
if death(KEYS[1]) then return 0 end
redis.call('SET', KEYS[1], ARGV[3])
set_death(KEYS[1], tonumber(ARGV[2]))
return 1
""")

REPLACE = Script("""
if not death(KEYS[1]) or redis.call('GET', KEYS[1]) ~= ARGV[4] then return 0 end
redis.call('SET', KEYS[1], ARGV[3])
set_death(KEYS[1], tonumber(ARGV[2]))
return 1
""")

# A key without expiry keeps that: whoever wrote it so (connect-redis with `disableTTL`) never extends it.
TOUCH = Script("""
local at = death(KEYS[1])
if not at or (ARGV[3] and redis.call('GET', KEYS[1]) ~= ARGV[3]) then return 0 end
if at ~= -1 then set_death(KEYS[1], tonumber(ARGV[2])) end
return 1
""")

DESTROY = Script("""
if not death(KEYS[1]) or (ARGV[2] and redis.call('GET', KEYS[1]) ~= ARGV[2]) then return 0 end
redis.call('DEL', KEYS[1])
return 1
""")

LIST = Script("""
local page = redis.call('SCAN', ARGV[2], 'MATCH', ARGV[3], 'COUNT', ARGV[4])
local living = {}
for _, key in ipairs(page[2]) do
  if death(key) then living[#living + 1] = key end
end
return {page[1], living}
""")

CLEAR = Script("""
local page = redis.call('SCAN', ARGV[2], 'MATCH', ARGV[3], 'COUNT', ARGV[4])
for _, key in ipairs(page[2]) do
  redis.call('UNLINK', key)
end
return {page[1], {}}
""")
