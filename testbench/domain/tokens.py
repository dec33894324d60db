"""Credentials of machines: random, shown once, stored as a hash."""

import hashlib
import secrets

TOKEN_BYTES = 24


def new_token(prefix: str) -> str:
    """`<prefix>_` and 192 random bits, safe in a URL and in a header."""
    return f"{prefix}_{secrets.token_urlsafe(TOKEN_BYTES)}"


def token_hash(token: str) -> str:
    """SHA-256 in hex. A random token needs no salt and no slow hash."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
