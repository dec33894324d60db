"""Mosquitto's dynamic-security file, as `mosquitto_ctrl dynsec init` would write it."""

import base64
import hashlib
import os
from typing import Any

ITERATIONS = 101
"""What mosquitto_ctrl 2.0 uses; the password is 24 random bytes, not a person's."""
ADMIN_ACLS = (
    ("publishClientSend", "$CONTROL/dynamic-security/#"),
    ("publishClientReceive", "$CONTROL/dynamic-security/#"),
    ("subscribePattern", "$CONTROL/dynamic-security/#"),
    ("publishClientSend", "#"),
    ("publishClientReceive", "#"),
    ("subscribePattern", "#"),
    ("unsubscribePattern", "#"),
    ("publishClientReceive", "$SYS/#"),
    ("subscribePattern", "$SYS/#"),
)


def security(username: str, password: str) -> dict[str, Any]:
    """One administrator, and nothing allowed to anybody else until a role allows it."""
    salt = os.urandom(12)
    digest = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, ITERATIONS)
    return {
        "defaultACLAccess": {
            "publishClientSend": False,
            "publishClientReceive": True,
            "subscribe": False,
            "unsubscribe": True,
        },
        "clients": [
            {
                "username": username,
                "password": base64.b64encode(digest).decode(),
                "salt": base64.b64encode(salt).decode(),
                "iterations": ITERATIONS,
                "roles": [{"rolename": "admin"}],
            }
        ],
        "roles": [
            {
                "rolename": "admin",
                "acls": [
                    {"acltype": kind, "topic": topic, "priority": 0, "allow": True}
                    for kind, topic in ADMIN_ACLS
                ],
            }
        ],
    }
