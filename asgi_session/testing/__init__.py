"""The rules of `asgi_session.Store` as tests, for whoever writes a store. Needs pytest and pytest-asyncio.

Inherit, and provide a fixture `store` that gives a fresh, empty store to each test::

    class TestMyStore(StoreContract):
        @pytest_asyncio.fixture
        async def store(self):
            async with MyStore(...) as store:
                yield store

It runs in pytest-asyncio's strict mode as well as in auto mode, and the fixture may be a synchronous one. Optional
methods that a store does not have (they raise NotImplementedError) are skipped.

Some tests need a record that has expired. Left alone, they wait for it, as a backend that goes by its own clock needs:
`StoreContract.short_life` says how long. A store that goes by this process's clock sets
`StoreContract.reads_time_time` instead, and the clock is moved.

A store that departs from one of the promises on purpose says so by overriding that one test.
"""

try:
    import pytest  # noqa: F401
    import pytest_asyncio  # noqa: F401
except ImportError as error:
    raise ImportError("asgi_session.testing needs pytest and pytest-asyncio") from error

from asgi_session.testing.creating import Creating
from asgi_session.testing.destroying import Destroying
from asgi_session.testing.expiring import Expiring
from asgi_session.testing.housekeeping import Housekeeping
from asgi_session.testing.racing import Racing
from asgi_session.testing.reading import Reading
from asgi_session.testing.replacing import Replacing
from asgi_session.testing.touching import Touching

__all__ = ["StoreContract"]


class StoreContract(Reading, Creating, Replacing, Touching, Destroying, Expiring, Racing, Housekeeping):
    """Inherit this, provide a fixture `store`, and every rule that a store must keep is tested."""
