"""A correct store as simple as can be, and what store authors get wrong, one mistake to a class."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator

from asgi_session.stores.base import Record, Store, never_suspends


class Correct(Store):
    """A dict behind a round trip: each operation waits for its turn, then happens in one step."""

    def __init__(self) -> None:
        self.rows: dict[str, Record] = {}

    async def trip(self) -> None:
        await asyncio.sleep(0)

    def live(self, sid: str) -> Record | None:
        row = self.rows.get(sid)
        return row if row is not None and row.expires is not None and row.expires > time.time() else None

    def dated(self, record: Record) -> Record:
        return Record(record.payload, time.time() + self.ttl if record.expires is None else record.expires)

    async def get(self, sid: str) -> Record | None:
        await self.trip()
        return self.live(sid)

    async def create(self, sid: str, record: Record) -> bool:
        await self.trip()
        if self.live(sid) is not None:
            return False
        self.rows[sid] = self.dated(record)
        return True

    async def replace(self, sid: str, record: Record, *, expected: Record) -> bool:
        await self.trip()
        row = self.live(sid)
        if row is None or row.payload != expected.payload:
            return False
        self.rows[sid] = self.dated(record)
        return True

    async def touch(self, sid: str, expires: float | None) -> bool:
        await self.trip()
        row = self.live(sid)
        if row is None:
            return False
        self.rows[sid] = self.dated(Record(row.payload, expires))
        return True

    async def destroy(self, sid: str, *, expected: Record | None = None) -> bool:
        await self.trip()
        row = self.live(sid)
        if row is None or (expected is not None and row.payload != expected.payload):
            return False
        del self.rows[sid]
        return True

    async def ids(self) -> AsyncIterator[str]:
        await self.trip()
        for sid in list(self.rows):
            if self.live(sid) is not None:
                yield sid

    async def clear(self) -> None:
        await self.trip()
        self.rows.clear()

    async def purge(self) -> int:
        await self.trip()
        dead = [sid for sid in self.rows if self.live(sid) is None]
        for sid in dead:
            del self.rows[sid]
        return len(dead)


class ComparesWhenTouched(Correct):
    """Takes ``expected`` in `touch`, too."""

    async def touch(self, sid: str, expires: float | None, *, expected: Record | None = None) -> bool:
        await self.trip()
        row = self.live(sid)
        if row is None or (expected is not None and row.payload != expected.payload):
            return False
        self.rows[sid] = self.dated(Record(row.payload, expires))
        return True


class WithoutOptionalMethods(Correct):
    """Correct, too: what it leaves out is optional."""

    def ids(self) -> AsyncIterator[str]:
        raise NotImplementedError

    async def clear(self) -> None:
        raise NotImplementedError

    async def purge(self) -> int:
        raise NotImplementedError


# Mistakes in get


class GetReturnsTheExpired(Correct):
    async def get(self, sid: str) -> Record | None:
        return self.rows.get(sid)


class GetCountsTheTtlFromNow(Correct):
    def dated(self, record: Record) -> Record:
        return record

    def live(self, sid: str) -> Record | None:
        row = self.rows.get(sid)
        if row is None or (row.expires is not None and row.expires <= time.time()):
            return None
        return super().dated(row)


class GetMakesUpARecord(Correct):
    async def get(self, sid: str) -> Record | None:
        return self.live(sid) or Record("{}", time.time() + self.ttl)


class GetReturnsNoExpiry(Correct):
    async def get(self, sid: str) -> Record | None:
        row = self.live(sid)
        return None if row is None else Record(row.payload, None)


class GetConsumes(Correct):
    async def get(self, sid: str) -> Record | None:
        row = self.live(sid)
        self.rows.pop(sid, None)
        return row


class GetReturnsBytes(Correct):
    async def get(self, sid: str) -> Record | None:
        row = self.live(sid)
        return None if row is None else Record(row.payload.encode(), row.expires)  # type: ignore[arg-type]


class GetRewritesJson(Correct):
    async def get(self, sid: str) -> Record | None:
        row = self.live(sid)
        text = "" if row is None else json.dumps(json.loads(row.payload), separators=(",", ":"), ensure_ascii=False)
        return None if row is None else Record(text, row.expires)


class GetReadsLatin1(Correct):
    async def get(self, sid: str) -> Record | None:
        row = self.live(sid)
        return None if row is None else Record(row.payload.encode().decode("latin-1"), row.expires)


class GetCutsOff(Correct):
    async def get(self, sid: str) -> Record | None:
        row = self.live(sid)
        return None if row is None else Record(row.payload[:65535], row.expires)


# Mistakes in create


class CreateOverwrites(Correct):
    async def create(self, sid: str, record: Record) -> bool:
        self.rows[sid] = self.dated(record)
        return True


class CreateOverwritesButSaysNo(Correct):
    async def create(self, sid: str, record: Record) -> bool:
        free = self.live(sid) is None
        self.rows[sid] = self.dated(record)
        return free


class CreateOverwritesTheEqual(Correct):
    async def create(self, sid: str, record: Record) -> bool:
        row = self.live(sid)
        if row is not None and row.payload == record.payload:
            return True
        return await super().create(sid, record)


class CreateStumblesOverTheExpired(Correct):
    async def create(self, sid: str, record: Record) -> bool:
        return sid not in self.rows and await super().create(sid, record)


class CreateLeavesATombstone(Correct):
    def __init__(self) -> None:
        super().__init__()
        self.used: set[str] = set()

    async def create(self, sid: str, record: Record) -> bool:
        if sid in self.used and sid not in self.rows:
            return False
        self.used.add(sid)
        return await super().create(sid, record)


class CreateChecksThenWrites(Correct):
    async def create(self, sid: str, record: Record) -> bool:
        if self.live(sid) is not None:
            return False
        await self.trip()
        self.rows[sid] = self.dated(record)
        return True


class CreateReturnsNone(Correct):
    async def create(self, sid: str, record: Record) -> bool:
        await super().create(sid, record)
        return None  # type: ignore[return-value]


class CreateFillsInTheRecord(Correct):
    async def create(self, sid: str, record: Record) -> bool:
        record.expires = self.dated(record).expires
        return await super().create(sid, record)


class CreateIgnoresTheExpiry(Correct):
    async def create(self, sid: str, record: Record) -> bool:
        return await super().create(sid, Record(record.payload, None))


class CreateTakesNoneForImmortal(Correct):
    def dated(self, record: Record) -> Record:
        return Record(record.payload, 1e12 if record.expires is None else record.expires)


# Mistakes in replace


class ReplaceUpserts(Correct):
    async def replace(self, sid: str, record: Record, *, expected: Record) -> bool:
        if self.live(sid) is None:
            self.rows[sid] = self.dated(record)
            return True
        return await super().replace(sid, record, expected=expected)


class ReplaceRevivesTheExpired(Correct):
    async def replace(self, sid: str, record: Record, *, expected: Record) -> bool:
        row = self.rows.get(sid)
        if row is None or row.payload != expected.payload:
            return False
        self.rows[sid] = self.dated(record)
        return True


class ReplaceIgnoresExpected(Correct):
    async def replace(self, sid: str, record: Record, *, expected: Record) -> bool:
        if self.live(sid) is None:
            return False
        self.rows[sid] = self.dated(record)
        return True


class ReplaceComparesTheExpiryToo(Correct):
    async def replace(self, sid: str, record: Record, *, expected: Record) -> bool:
        return self.live(sid) == expected and await super().replace(sid, record, expected=expected)


class ReplaceIgnoresCase(Correct):
    async def replace(self, sid: str, record: Record, *, expected: Record) -> bool:
        row = self.live(sid)
        if row is not None and row.payload.lower() == expected.payload.lower():
            expected = row
        return await super().replace(sid, record, expected=expected)


class ReplaceComparesAscii(Correct):
    async def replace(self, sid: str, record: Record, *, expected: Record) -> bool:
        return expected.payload.isascii() and await super().replace(sid, record, expected=expected)


class ReplaceChecksThenWrites(Correct):
    async def replace(self, sid: str, record: Record, *, expected: Record) -> bool:
        row = self.live(sid)
        if row is None or row.payload != expected.payload:
            return False
        await self.trip()
        self.rows[sid] = self.dated(record)
        return True


class ReplaceCountsRowsModified(Correct):
    async def replace(self, sid: str, record: Record, *, expected: Record) -> bool:
        before = self.live(sid)
        return await super().replace(sid, record, expected=expected) and self.live(sid) != before


class ReplaceKeepsTheExpiry(Correct):
    async def replace(self, sid: str, record: Record, *, expected: Record) -> bool:
        row = self.live(sid) or record
        return await super().replace(sid, Record(record.payload, row.expires), expected=expected)


class ReplaceReturnsANumber(Correct):
    async def replace(self, sid: str, record: Record, *, expected: Record) -> bool:
        return int(await super().replace(sid, record, expected=expected))  # type: ignore[return-value]


class ReplaceFailsAtRandom(Correct):
    calls = 0

    async def replace(self, sid: str, record: Record, *, expected: Record) -> bool:
        self.calls += 1
        return self.calls < 30 and await super().replace(sid, record, expected=expected)


class ReplaceOverlooksAnEqualPayload(Correct):
    async def replace(self, sid: str, record: Record, *, expected: Record) -> bool:
        row = self.live(sid)
        if row is not None and row.payload == record.payload == expected.payload:
            return True
        return await super().replace(sid, record, expected=expected)


class ReplaceFillsInTheRecord(Correct):
    async def replace(self, sid: str, record: Record, *, expected: Record) -> bool:
        done = await super().replace(sid, record, expected=expected)
        record.expires = time.time() + self.ttl
        return done


class ReplaceComparesAPrefix(Correct):
    async def replace(self, sid: str, record: Record, *, expected: Record) -> bool:
        row = self.live(sid)
        if row is None or row.payload[:255] != expected.payload[:255]:
            return False
        return await super().replace(sid, record, expected=row)


class ReplaceCutsOff(Correct):
    async def replace(self, sid: str, record: Record, *, expected: Record) -> bool:
        return await super().replace(sid, Record(record.payload[:65535], record.expires), expected=expected)


class ReplaceWritesLatin1(Correct):
    async def replace(self, sid: str, record: Record, *, expected: Record) -> bool:
        text = record.payload.encode("latin-1", "replace").decode("latin-1")
        return await super().replace(sid, Record(text, record.expires), expected=expected)


class ReplaceOverlooksBlanks(Correct):
    async def replace(self, sid: str, record: Record, *, expected: Record) -> bool:
        row = self.live(sid)
        if row is None or row.payload.rstrip() != expected.payload.rstrip():
            return False
        return await super().replace(sid, record, expected=row)


# Mistakes in touch


class TouchCreates(Correct):
    async def touch(self, sid: str, expires: float | None) -> bool:
        row = self.live(sid) or Record("{}", None)
        self.rows[sid] = self.dated(Record(row.payload, expires))
        return True


class TouchLeavesAStub(Correct):
    def __init__(self) -> None:
        super().__init__()
        self.stubs: set[str] = set()

    async def create(self, sid: str, record: Record) -> bool:
        return sid not in self.stubs and await super().create(sid, record)

    async def touch(self, sid: str, expires: float | None) -> bool:
        touched = await super().touch(sid, expires)
        if not touched:
            self.stubs.add(sid)
        return touched


class TouchRevivesTheExpired(Correct):
    async def touch(self, sid: str, expires: float | None) -> bool:
        row = self.rows.get(sid)
        if row is None:
            return False
        self.rows[sid] = self.dated(Record(row.payload, expires))
        return True


class TouchAltersThePayload(Correct):
    async def touch(self, sid: str, expires: float | None) -> bool:
        row = self.live(sid)
        if row is None:
            return False
        self.rows[sid] = self.dated(Record(row.payload.replace("}", ',"touched":true}', 1), expires))
        return True


class TouchReadsThenWrites(Correct):
    async def touch(self, sid: str, expires: float | None) -> bool:
        row = self.live(sid)
        if row is None:
            return False
        await self.trip()
        await self.trip()
        self.rows[sid] = self.dated(Record(row.payload, expires))
        return True


class TouchFetchesThenWrites(Correct):
    async def touch(self, sid: str, expires: float | None) -> bool:
        row = await self.get(sid)
        if row is None:
            return False
        await self.trip()
        self.rows[sid] = self.dated(Record(row.payload, expires))
        return True


class TouchComparesNothing(Correct):
    async def touch(self, sid: str, expires: float | None, *, expected: Record | None = None) -> bool:
        return await super().touch(sid, expires)


class TouchComparesThenWrites(Correct):
    async def touch(self, sid: str, expires: float | None, *, expected: Record | None = None) -> bool:
        row = self.live(sid)
        if expected is not None and (row is None or row.payload != expected.payload):
            return False
        return await super().touch(sid, expires)


class TouchRefusesExpected(Correct):
    async def touch(self, sid: str, expires: float | None, *, expected: Record | None = None) -> bool:
        return expected is None and await super().touch(sid, expires)


class TouchIsMarkedByMistake(Correct):
    @never_suspends
    async def touch(self, sid: str, expires: float | None) -> bool:
        return await super().touch(sid, expires)


class TouchIgnoresNone(Correct):
    async def touch(self, sid: str, expires: float | None) -> bool:
        return self.live(sid) is not None if expires is None else await super().touch(sid, expires)


class TouchOnlyLengthens(Correct):
    async def touch(self, sid: str, expires: float | None) -> bool:
        row = self.live(sid)
        if row is not None and row.expires is not None and expires is not None:
            expires = max(expires, row.expires)
        return await super().touch(sid, expires)


class TouchDoesNothing(Correct):
    async def touch(self, sid: str, expires: float | None) -> bool:
        return self.live(sid) is not None


class TouchCountsRowsModified(Correct):
    async def touch(self, sid: str, expires: float | None) -> bool:
        before = self.live(sid)
        return await super().touch(sid, expires) and self.live(sid) != before


class TouchReturnsNone(Correct):
    async def touch(self, sid: str, expires: float | None) -> bool:
        await super().touch(sid, expires)
        return None  # type: ignore[return-value]


# Mistakes in destroy


class DestroyDoesNothing(Correct):
    async def destroy(self, sid: str, *, expected: Record | None = None) -> bool:
        return self.live(sid) is not None


class DestroyAlwaysSaysTrue(Correct):
    async def destroy(self, sid: str, *, expected: Record | None = None) -> bool:
        await super().destroy(sid, expected=expected)
        return True


class DestroyCountsTheExpired(Correct):
    async def destroy(self, sid: str, *, expected: Record | None = None) -> bool:
        row = self.rows.get(sid)
        if row is None or (expected is not None and row.payload != expected.payload):
            return False
        del self.rows[sid]
        return True


class DestroyIgnoresExpected(Correct):
    async def destroy(self, sid: str, *, expected: Record | None = None) -> bool:
        return await super().destroy(sid)


class DestroyComparesTheExpiryToo(Correct):
    async def destroy(self, sid: str, *, expected: Record | None = None) -> bool:
        if expected is not None and self.live(sid) != expected:
            return False
        return await super().destroy(sid)


class DestroyIgnoresCase(Correct):
    async def destroy(self, sid: str, *, expected: Record | None = None) -> bool:
        row = self.live(sid)
        if row is not None and expected is not None and row.payload.lower() == expected.payload.lower():
            expected = row
        return await super().destroy(sid, expected=expected)


class DestroyRefusesExpected(Correct):
    async def destroy(self, sid: str, *, expected: Record | None = None) -> bool:
        return expected is None and await super().destroy(sid)


class DestroyChecksThenDeletes(Correct):
    async def destroy(self, sid: str, *, expected: Record | None = None) -> bool:
        row = self.live(sid)
        if row is None or (expected is not None and row.payload != expected.payload):
            return False
        await self.trip()
        self.rows.pop(sid, None)
        return True


class DestroyFetchesThenDeletes(Correct):
    async def destroy(self, sid: str, *, expected: Record | None = None) -> bool:
        row = await self.get(sid)
        if row is None or (expected is not None and row.payload != expected.payload):
            return False
        await self.trip()
        return self.rows.pop(sid, None) is not None


class DestroyComparesAsJson(Correct):
    async def destroy(self, sid: str, *, expected: Record | None = None) -> bool:
        row = self.live(sid)
        if row is not None and expected is not None and json.loads(row.payload) != json.loads(expected.payload):
            return False
        return await super().destroy(sid)


class DestroyClearsAll(Correct):
    async def destroy(self, sid: str, *, expected: Record | None = None) -> bool:
        deleted = await super().destroy(sid, expected=expected)
        if deleted:
            self.rows.clear()
        return deleted


# Mistakes about ids and time


class IdsIgnoreCase(Correct):
    async def get(self, sid: str) -> Record | None:
        return await super().get(sid.lower())

    async def create(self, sid: str, record: Record) -> bool:
        return await super().create(sid.lower(), record)


class IdsAreCutOff(Correct):
    async def get(self, sid: str) -> Record | None:
        return await super().get(sid[:128])

    async def create(self, sid: str, record: Record) -> bool:
        return await super().create(sid[:128], record)


class IdsAreShort(Correct):
    async def get(self, sid: str) -> Record | None:
        return await super().get(sid[:16])

    async def create(self, sid: str, record: Record) -> bool:
        return await super().create(sid[:16], record)

    async def replace(self, sid: str, record: Record, *, expected: Record) -> bool:
        return await super().replace(sid[:16], record, expected=expected)

    async def touch(self, sid: str, expires: float | None) -> bool:
        return await super().touch(sid[:16], expires)

    async def destroy(self, sid: str, *, expected: Record | None = None) -> bool:
        return await super().destroy(sid[:16], expected=expected)


class TimeIsCappedAt30Days(Correct):
    def dated(self, record: Record) -> Record:
        dated = super().dated(record)
        return Record(dated.payload, min(dated.expires or 0, time.time() + 30 * 86400))


class TimeIsShortened(Correct):
    def live(self, sid: str) -> Record | None:
        row = super().live(sid)
        return row if row is not None and row.expires is not None and row.expires - time.time() > 0.6 else None


class TimePastMeansForever(Correct):
    def dated(self, record: Record) -> Record:
        dated = super().dated(record)
        return dated if dated.expires is not None and dated.expires > time.time() else Record(dated.payload, 1e12)


class TtlIsNotPositive(Correct):
    ttl = 0


# Mistakes in the optional methods


class IdsIncludeTheExpired(Correct):
    async def ids(self) -> AsyncIterator[str]:
        for sid in list(self.rows):
            yield sid


class IdsRepeat(Correct):
    async def ids(self) -> AsyncIterator[str]:
        async for sid in super().ids():
            yield sid
            yield sid


class LengthCountsTheExpired(Correct):
    async def length(self) -> int:
        return len(self.rows)


class LengthIsAGuess(Correct):
    async def length(self) -> int:
        return 1000


class ClearForgetsSome(Correct):
    async def clear(self) -> None:
        self.rows = {sid: row for sid, row in self.rows.items() if not sid.isalnum()}


class PurgeRemovesTheLiving(Correct):
    async def purge(self) -> int:
        self.rows.clear()
        return 1


class PurgeReturnsNothing(Correct):
    async def purge(self) -> int:
        return None  # type: ignore[return-value]


class PurgeCountsEverything(Correct):
    async def purge(self) -> int:
        return len(self.rows)


# Mistakes at the end


class EnteringGivesAnother(Correct):
    async def __aenter__(self) -> Correct:  # type: ignore[override]
        return Correct()


class ClosesOnlyOnce(Correct):
    closed = False

    async def aclose(self) -> None:
        if self.closed:
            raise RuntimeError("already closed")
        self.closed = True
