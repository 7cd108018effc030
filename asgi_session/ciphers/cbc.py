"""AES-CBC with PKCS #7 padding. It hides a text and does not protect it: here for connect-mongo's sake alone."""

from __future__ import annotations

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.padding import PKCS7

IV_SIZE = 16
"""Bytes of the initialization vector."""


def encrypt(key: bytes, iv: bytes, plain: bytes) -> bytes:
    """Pad and encrypt."""
    padder, encryptor = PKCS7(AES.block_size).padder(), Cipher(AES(key), CBC(iv)).encryptor()
    return encryptor.update(padder.update(plain) + padder.finalize()) + encryptor.finalize()


def decrypt(key: bytes, iv: bytes, encrypted: bytes) -> bytes:
    """Decrypt and remove the padding.

    Raises:
        ValueError: a length or the padding is wrong.
    """
    decryptor, unpadder = Cipher(AES(key), CBC(iv)).decryptor(), PKCS7(AES.block_size).unpadder()
    return unpadder.update(decryptor.update(encrypted) + decryptor.finalize()) + unpadder.finalize()
