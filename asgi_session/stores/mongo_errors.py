"""What MongoStore makes of the driver's errors."""

from __future__ import annotations

from types import TracebackType

from bson.errors import BSONError
from pymongo.errors import DuplicateKeyError, OperationFailure, PyMongoError

from asgi_session.exceptions import StoreError


def is_of_id(error: DuplicateKeyError) -> bool:
    """Whether it is the id that was taken: a unique index of the caller's own can be violated too."""
    pattern = (error.details or {}).get("keyPattern")
    return pattern is None or list(pattern) == ["_id"]


class _BackendErrors:
    """Turns the driver's errors into `StoreError`. Its text names the kind alone: the driver's may quote documents."""

    def __enter__(self) -> None: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # A RuntimeError comes of another event loop than the client's.
        if isinstance(error, PyMongoError | BSONError | UnicodeError | RuntimeError):
            code = f" {error.code}" if isinstance(error, OperationFailure) else ""
            raise StoreError(f"MongoDB: {type(error).__name__}{code}") from error


BACKEND_ERRORS = _BackendErrors()
