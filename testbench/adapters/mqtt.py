"""The MQTT broker: where it is, how the bench logs in, which devices may publish.

MQTT_URL is `mqtt[s]://user:password@host:port`. `?auth=` says who keeps the devices' credentials:
`dynsec` (default where a user is named): Mosquitto's dynamic-security plugin, told by `provision`;
`testbench`: the bench's own broker, which reads them from the database;
`none` (default without a user): a broker that is managed elsewhere.
"""

import secrets
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event
from typing import Any, Literal, NamedTuple, cast, get_args
from urllib.parse import parse_qs, unquote, urlsplit

import msgspec
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.reasoncodes import ReasonCode

from testbench.domain.errors import Unavailable
from testbench.settings import settings

Auth = Literal["dynsec", "testbench", "none"]

TOPIC = "devices/+/telemetry"
SHARED_TOPIC = f"$share/testbench/{TOPIC}"
"""Each message goes to one collector, however many there are."""
TIMEOUT_S = 2.0
KEEPALIVE_S = 60

_CONTROL = "$CONTROL/dynamic-security/v1"
_ANSWERS = f"{_CONTROL}/response"
# A device whose account is absent when it is deleted is no error.
_MAY_FAIL = frozenset({"deleteClient", "deleteRole"})

Command = dict[str, Any]


class Broker(NamedTuple):
    """MQTT_URL, taken apart."""

    host: str
    port: int
    username: str | None
    password: str | None
    tls: bool
    auth: Auth


def broker() -> Broker:
    """The broker of this bench; Unavailable if MQTT_URL is missing or makes no sense."""
    url = settings().mqtt_url
    if not url:
        raise Unavailable("MQTT_URL is not set; start the bench with `make up`.")
    parts = urlsplit(url)
    username = unquote(parts.username) if parts.username else None
    auth = parse_qs(parts.query).get("auth", ["dynsec" if username else "none"])[0]
    if auth not in get_args(Auth) or parts.scheme not in ("mqtt", "mqtts"):
        raise Unavailable("MQTT_URL must be mqtt[s]://…, with auth=dynsec, testbench or none.")
    tls = parts.scheme == "mqtts"
    return Broker(
        host=parts.hostname or "127.0.0.1",
        port=parts.port or (8883 if tls else 1883),
        username=username,
        password=unquote(parts.password) if parts.password else None,
        tls=tls,
        auth=cast("Auth", auth),
    )


def new_client(client_id: str, *, clean: bool = True, manual_ack: bool = False) -> Client:
    """A client that logs in with the bench's own account; not connected yet."""
    named = broker()
    client = Client(
        CallbackAPIVersion.VERSION2,
        client_id=client_id,
        clean_session=clean,
        manual_ack=manual_ack,
    )
    client.connect_timeout = TIMEOUT_S
    if named.username:
        client.username_pw_set(named.username, named.password)
    if named.tls:
        client.tls_set()
    return client


def topic_of(device_id: uuid.UUID) -> str:
    """Where this device publishes."""
    return f"devices/{device_id}/telemetry"


def door() -> tuple[str, int]:
    """Where devices reach the broker: its host, empty for the bench's own, and its port."""
    named = broker()
    # A name without a dot means something on this machine or in its containers alone.
    nearby = named.host.startswith(("127.", "::1")) or not set(named.host) & set(".:")
    return "" if nearby else named.host, named.port


def provision(device_id: uuid.UUID, token: str) -> None:
    """Let a device in with this credential alone; an older one ends at once, connections too.

    Raises Unavailable within 2 s if the broker is away.
    """
    if broker().auth != "dynsec":
        return
    role = f"dev-{device_id}"
    acl = {"acltype": "publishClientSend", "topic": topic_of(device_id), "allow": True}
    _command(
        *_removal(device_id),
        {"command": "createRole", "rolename": role, "acls": [acl]},
        {
            "command": "createClient",
            "username": str(device_id),
            "password": token,
            "roles": [{"rolename": role}],
        },
    )


def revoke(device_id: uuid.UUID) -> None:
    """Let a device in no more, and end its connections; Unavailable if the broker is away."""
    if broker().auth == "dynsec":
        _command(*_removal(device_id))


def ping() -> None:
    """Log in and out again; Unavailable if that takes more than 2 s."""
    with _connected(time.monotonic() + TIMEOUT_S):
        pass


def _removal(device_id: uuid.UUID) -> tuple[Command, Command]:
    return (
        {"command": "deleteClient", "username": str(device_id)},
        {"command": "deleteRole", "rolename": f"dev-{device_id}"},
    )


def _command(*commands: Command) -> None:
    """Have Mosquitto do these, in order (its `$CONTROL` API, dynamic security plugin)."""
    deadline = time.monotonic() + TIMEOUT_S
    subscribed, answered = Event(), Event()
    answers: list[bytes] = []

    def heard(_client: Client, _data: object, message: MQTTMessage) -> None:
        answers.append(bytes(message.payload))
        answered.set()

    def granted(*_: object) -> None:
        subscribed.set()

    with _connected(deadline) as client:
        client.on_subscribe = granted
        client.on_message = heard
        client.subscribe(_ANSWERS, qos=1)
        _wait(subscribed, deadline)
        client.publish(_CONTROL, msgspec.json.encode({"commands": commands}), qos=1)
        _wait(answered, deadline)
    for answer in msgspec.json.decode(answers[0])["responses"]:
        if "error" in answer and answer["command"] not in _MAY_FAIL:
            raise Unavailable(f"The MQTT broker refused {answer['command']}: {answer['error']}")


@contextmanager
def _connected(deadline: float) -> Iterator[Client]:
    """A client of its own that has logged in, and logs out at the end."""
    named = broker()
    client = new_client(f"testbench-{secrets.token_hex(6)}")
    decided = Event()
    refused: list[str] = []

    def connected(
        _client: Client, _data: object, _flags: object, code: ReasonCode, _properties: object
    ) -> None:
        if code.is_failure:
            refused.append(str(code))
        decided.set()

    client.on_connect = connected
    try:
        client.connect(named.host, named.port, keepalive=KEEPALIVE_S)
    except OSError as error:
        raise Unavailable("The MQTT broker does not answer.", retry_after=5) from error
    client.loop_start()
    try:
        _wait(decided, deadline)
        if refused:
            raise Unavailable(f"The MQTT broker refuses the bench's account: {refused[0]}")
        yield client
    finally:
        client.disconnect()
        client.loop_stop()


def _wait(event: Event, deadline: float) -> None:
    if not event.wait(max(0.0, deadline - time.monotonic())):
        raise Unavailable("The MQTT broker does not answer.", retry_after=5)
