"""Everything this package raises on purpose. No message holds an id, a secret or session content."""


class SessionError(Exception):
    """Base of all errors of this package; raised itself where a session can't be saved, whatever the store does.

    No cookie can carry it to the client, or it belongs to no request (any more).
    """


class StoreError(SessionError):
    """The store failed or did not answer in time; the backend's own error is the ``__cause__``."""


class SessionNotFound(SessionError):
    """The session was destroyed, regenerated or has expired since it was loaded; or `reload` found none stored."""


class SessionConflict(SessionError):
    """Others were faster at each of a bounded number of tries, or every drawn id was taken; nothing was written."""


class SessionDestroyed(SessionError):
    """A write to a session after its ``destroy()``."""


class SessionSerializationError(SessionError):
    """A session value that JSON can't hold; the message names the session key."""


class SessionNotLoaded(SessionError):
    """No session can be had here: no middleware is in charge, or the path is outside the cookie's path."""
