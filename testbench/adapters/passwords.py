"""Passwords at rest: bcrypt over a fixed-length digest, so that no password is cut or refused.

bcrypt reads 72 bytes at most and stops at a NUL; the digest is 44 characters without one.
"""

import base64
import hashlib
import hmac

import bcrypt

ROUNDS = 12
# Not a secret: it only keeps these digests apart from plain SHA-256 sums leaked elsewhere.
_DOMAIN = b"testbench password v1"
# Nobody's password: verifying against it costs what verifying a real one costs.
NOBODY = "$2b$12$v0IQZ953YJSHnVZ96u441euXlHQbi/o/JGRqVZUKb1k01GC7NZNE6"


def _digest(password: str) -> bytes:
    raw = password.encode("utf-8", "surrogatepass")
    return base64.b64encode(hmac.digest(_DOMAIN, raw, hashlib.sha256))


def imprint(password: str) -> str:
    """The bcrypt hash to store; takes about 0.2 s of one core."""
    return bcrypt.hashpw(_digest(password), bcrypt.gensalt(ROUNDS)).decode()


def matches(password: str, password_hash: str) -> bool:
    """Whether `password` is the one behind `password_hash`; takes as long for a wrong one."""
    return bcrypt.checkpw(_digest(password), password_hash.encode())
