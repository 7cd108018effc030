"""Codecs for `asgi_session.stores.encrypted.EncryptedStore`. They need `cryptography`: ``asgi-session[crypto]``.

`AesGcm` is the one to choose; the other two are connect-mongo's formats, for sessions shared with an Express app.
"""

try:
    import cryptography  # noqa: F401
except ImportError as error:
    raise ImportError("asgi_session.ciphers needs cryptography: pip install 'asgi-session[crypto]'") from error

from asgi_session.ciphers.aes_gcm import AesGcm
from asgi_session.ciphers.connect_mongo_crypto import ConnectMongoCrypto
from asgi_session.ciphers.connect_mongo_webcrypto import ConnectMongoWebCrypto

__all__ = ["AesGcm", "ConnectMongoCrypto", "ConnectMongoWebCrypto"]
