"""Encryption of what another store keeps: text is sealed on its way in and opened on its way out.

How records are sealed is a codec's business (`asgi_session.ciphers` has some). What is left here is the store's own
promise: the inner store compares sealed texts, and sealing the same payload twice gives two of them, so a write must
name the very text that was read.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Protocol, Self

from asgi_session.log import logger
from asgi_session.stores.base import Record, Store, touch_compares


class Undecryptable(Exception):
    """What a codec raises for a text that it can't open.

    Args:
        reason: why, as the end of "A stored session can't be decrypted: it ...". It is logged, so nothing of the
            session, its id or a key may be in it.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)


class Codec(Protocol):
    """A way to seal payloads.

    Both methods are coroutines, so that deriving a key can take place in a thread; the event loop is not to be blocked.
    """

    async def seal(self, sid: str, text: str) -> str:
        """The form of `text` that is stored under the id `sid`. It never begins with ``{``."""

    async def open(self, sid: str, sealed: str) -> str:
        """The text that was sealed for `sid`.

        Raises:
            Undecryptable: it was altered, was sealed for another id or with another key, or is something else.
        """


class EncryptedStore(Store):
    """Keeps payloads in another store, sealed by a codec. Ids and expiries stay as they are.

    A record that the codec can't open counts as missing: an error is logged each time that it is read, the visitor gets
    a new session, and the record stays until it expires, so that the right key brings it back. `create` under its id is
    False as for any other.

    A write that expects a record from `get` is one step of the inner store's. One that expects a record which the
    caller made itself has to read it first: one call more.

    Args:
        store: where records are kept. Closing this store closes that one.
        codec: how they are sealed.
        accept_plaintext: read records that are not sealed, too, for as long as it takes to encrypt a store that is
            in use; they are sealed when they are next written. Leave it False otherwise: whoever can write to the
            database could plant a session that no key has sealed.

    Raises:
        TypeError: `store` is no `Store`, or `codec` has no methods `seal` and `open`.
    """

    def __init__(self, store: Store, codec: Codec, *, accept_plaintext: bool = False) -> None:
        if not isinstance(store, Store):
            raise TypeError("store is no Store instance")
        if isinstance(codec, type) or not all(callable(getattr(codec, name, None)) for name in ("seal", "open")):
            raise TypeError("codec is no Codec instance")
        self.ttl = store.ttl
        self.ends_by_itself = store.ends_by_itself
        self._store = store
        self._touch_compares = touch_compares(store)
        self._codec = codec
        self._accept_plaintext = accept_plaintext

    async def get(self, sid: str) -> Record | None:
        return await self._opened(sid)

    async def create(self, sid: str, record: Record) -> bool:
        return await self._store.create(sid, await self._sealed(sid, record))

    async def replace(self, sid: str, record: Record, *, expected: Record) -> bool:
        kept = await self._kept(sid, expected)
        return kept is not None and await self._store.replace(sid, await self._sealed(sid, record), expected=kept)

    async def touch(self, sid: str, expires: float | None, *, expected: Record | None = None) -> bool:
        if expected is None or not self._touch_compares:
            return await self._store.touch(sid, expires)
        kept = await self._kept(sid, expected)
        touch: Callable[..., Awaitable[bool]] = self._store.touch
        return kept is not None and await touch(sid, expires, expected=kept)

    async def destroy(self, sid: str, *, expected: Record | None = None) -> bool:
        if expected is None:
            return await self._store.destroy(sid)
        kept = await self._kept(sid, expected)
        return kept is not None and await self._store.destroy(sid, expected=kept)

    def ids(self) -> AsyncIterator[str]:
        """The ids that the inner store lists, those of records that can't be opened included."""
        return self._store.ids()

    async def length(self) -> int:
        return await self._store.length()

    async def clear(self) -> None:
        await self._store.clear()

    async def purge(self) -> int:
        return await self._store.purge()

    async def __aenter__(self) -> Self:
        """Open the inner store again, if it was closed."""
        await self._store.__aenter__()
        return self

    async def aclose(self) -> None:
        """Close the inner store."""
        await self._store.aclose()

    async def _sealed(self, sid: str, record: Record) -> Record:
        return Record(await self._codec.seal(sid, record.payload), record.expires)

    async def _opened(self, sid: str) -> _OpenedRecord | None:
        kept = await self._store.get(sid)
        if kept is None:
            return None
        if self._accept_plaintext and kept.payload.startswith("{"):
            return _OpenedRecord(kept.payload, kept)
        try:
            return _OpenedRecord(await self._codec.open(sid, kept.payload), kept)
        except Undecryptable as why:
            logger.error("A stored session can't be decrypted: it %s. It is treated as missing.", why)
            return None

    async def _kept(self, sid: str, expected: Record) -> Record | None:
        """The inner store's record for one of ours; None where something else is stored now."""
        if isinstance(expected, _OpenedRecord):
            return expected.kept
        found = await self._opened(sid)
        return found.kept if found is not None and found.payload == expected.payload else None


class _OpenedRecord(Record):
    """A record that was read, with what the inner store gave for it: a later write expects that."""

    __slots__ = ("kept",)

    def __init__(self, payload: str, kept: Record) -> None:
        super().__init__(payload, kept.expires)
        self.kept = kept
