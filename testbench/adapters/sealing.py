"""Secrets of devices' settings, encrypted before they are stored: `{"$sealed": "…"}`."""

import base64
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, cast

import msgspec
from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from testbench.domain.axeos import is_secret
from testbench.domain.errors import Unavailable
from testbench.settings import settings

MARK = "$sealed"


def seal(fields: Mapping[str, Any]) -> dict[str, Any]:
    """A copy to store: every secret, at any depth, encrypted; what is sealed already stays."""
    return {key: _seal(key, value) for key, value in fields.items()}


def unseal(fields: Mapping[str, Any]) -> dict[str, Any]:
    """A copy to send to a device. Unavailable if SECRET_KEY is not the one it was sealed with."""
    return {key: _unseal(value) for key, value in fields.items()}


def is_sealed(value: object) -> bool:
    """Whether a stored value is an encrypted secret."""
    return isinstance(value, Mapping) and set(cast("Mapping[Any, Any]", value)) == {MARK}


def _seal(key: str, value: Any) -> Any:
    if is_sealed(value):
        return value
    if is_secret(key):
        return {MARK: _cipher(settings().secret_key).encrypt(msgspec.json.encode(value)).decode()}
    if isinstance(value, Mapping):
        return seal(value)
    return [_seal("", item) for item in value] if isinstance(value, list) else value


def _unseal(value: Any) -> Any:
    if is_sealed(value):
        try:
            plain = _cipher(settings().secret_key).decrypt(str(value[MARK]).encode())
        except InvalidToken as error:
            text = "A stored secret cannot be read: SECRET_KEY has changed. Enter it anew."
            raise Unavailable(text) from error
        return msgspec.json.decode(plain)
    if isinstance(value, Mapping):
        return unseal(value)
    return [_unseal(item) for item in value] if isinstance(value, list) else value


@lru_cache(maxsize=4)
def _cipher(secret: str) -> Fernet:
    derived = HKDF(hashes.SHA256(), 32, salt=None, info=b"testbench secrets of devices")
    return Fernet(base64.urlsafe_b64encode(derived.derive(secret.encode())))
