"""Which store a URL means, and what is said about it."""

from __future__ import annotations

import pytest

from asgi_session import MemoryStore, Store
from asgi_session.stores.mongo import MongoStore
from asgi_session.stores.redis import RedisStore
from demo.store_url import StoreURLError, describe, open_store


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("memory://", MemoryStore),
        ("mongodb://127.0.0.1:1/shop", MongoStore),
        ("redis://127.0.0.1:1/0", RedisStore),
        ("rediss://127.0.0.1:1/0", RedisStore),
        ("valkey://127.0.0.1:1/0", RedisStore),
    ],
)
async def test_the_scheme_decides_and_nothing_is_connected_yet(url: str, kind: type[Store]) -> None:
    async with open_store(url) as store:
        assert type(store) is kind


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("memory://", "memory of this process: gone when it stops"),
        ("mongodb://ada:s3cret@one:27017,two:27017/shop?replicaSet=rs0", "MongoDB at one:27017,two:27017"),
        ("mongodb+srv://ada:s3cret@cluster.example/", "MongoDB at cluster.example"),
        ("redis://:s3cret@cache:6379/2", "Redis at cache:6379"),
        ("rediss://cache", "Redis over TLS at cache"),
        ("valkey://cache:6380?password=s3cret", "Valkey at cache:6380"),
        ("redis://ada:s3/cret@cache", "Redis"),
        ("redis://ada:s3?cret@cache", "Redis"),
    ],
)
def test_a_description_names_kind_and_place_without_credentials(url: str, words: str) -> None:
    assert describe(url) == words


@pytest.mark.parametrize("url", ["", "mysql://ada:s3cret@db/", "/tmp/sessions"])  # noqa: S108
def test_an_unknown_scheme_is_refused_with_the_ones_there_are(url: str) -> None:
    with pytest.raises(StoreURLError, match="mongodb://") as caught:
        open_store(url)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("url", ["mongodb://ada:s3cret@db:port/", "redis://ada:s3/cret@cache"])
def test_what_the_driver_can_not_read_is_refused_without_quoting_it(url: str) -> None:
    with pytest.raises(StoreURLError) as caught:
        open_store(url)
    assert "s3" not in str(caught.value)
    assert caught.value.__suppress_context__
