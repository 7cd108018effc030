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

_FOR_EACH_KEY = """
local function run(key, first, second, third)
  %s
end
if #KEYS == 1 then return run(KEYS[1], unpack(ARGV, 2)) end
local each = (#ARGV - 1) / #KEYS
local outcomes = {}
for i, key in ipairs(KEYS) do
  local worked, outcome = pcall(run, key, unpack(ARGV, 2 + (i - 1) * each, 1 + i * each))
  if not worked then outcome = {err = type(outcome) == 'table' and outcome.err or tostring(outcome)} end
  outcomes[i] = outcome
end
return outcomes
"""


class Script:
    """A server-side script. ARGV[1] is the client's time in ms; all times below are in ms on the client's clock."""

    def __init__(self, body: str) -> None:
        source = (_COMMON + body).encode()
        self.by_source = (b"EVAL", source)
        self.by_hash = (b"EVALSHA", hashlib.sha1(source, usedforsecurity=False).hexdigest().encode())


class KeyScript(Script):
    """A script for one `key`, with arguments `first`, `second` and `third`; or for several, each with its own."""

    def __init__(self, body: str) -> None:
        super().__init__(_FOR_EACH_KEY % body)


# One string, "death payload", where that is short: the drivers' parsers need twice as long for an array of two. But Lua
# is slow at joining long ones.
GET = KeyScript("""
  local at = death(key)
  if not at then return false end
  local payload = redis.call('GET', key)
  if #payload > 4096 then return {at, payload} end
  return string.format('%.0f ', at) .. payload
""")

# Of a death and a payload.
CREATE = KeyScript("""
  if death(key) then return 0 end
  redis.call('SET', key, second)
  set_death(key, tonumber(first))
  return 1
""")

# By a death and a payload; third is the payload expected.
REPLACE = KeyScript("""
  if not death(key) or redis.call('GET', key) ~= third then return 0 end
  redis.call('SET', key, second)
  set_death(key, tonumber(first))
  return 1
""")

# With a death; second is the payload expected, if any is. A key without expiry keeps that: whoever wrote it so
# (connect-redis with `disableTTL`) never extends it.
TOUCH = KeyScript("""
  local at = death(key)
  if not at or (second and redis.call('GET', key) ~= second) then return 0 end
  if at ~= -1 then set_death(key, tonumber(first)) end
  return 1
""")

# First is the payload expected, if any is.
DESTROY = KeyScript("""
  if not death(key) or (first and redis.call('GET', key) ~= first) then return 0 end
  redis.call('DEL', key)
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
