"""The tab of a device's access: how it sends, its credential, what was refused."""

import reflex as rx

from testbench.components import (
    Column,
    ago,
    amount,
    card,
    data_table,
    dialog,
    engineers,
    facts,
    secret,
    snippet,
)
from testbench.pages.devices import origin
from testbench.state.device import DeviceState


def access() -> rx.Component:
    here = DeviceState.router.url.netloc.split(":")[0]
    host = rx.cond(DeviceState.mqtt_host != "", DeviceState.mqtt_host, here)
    token = rx.cond(DeviceState.token != "", DeviceState.token, "$TOKEN")
    http = (
        f"curl -X POST {origin()}/api/telemetry \\\n"
        f'  -H "Authorization: Bearer {token}" \\\n'
        "  -d '{\"temp\": 21.5}'"
    )
    mqtt = (
        f"mosquitto_pub -h {host} -p {DeviceState.mqtt_port} \\\n"
        f"  -u {DeviceState.id} -P {token} \\\n"
        f"  -t devices/{DeviceState.id}/telemetry -q 1 \\\n"
        "  -m '{\"temp\": 21.5}'"
    )
    return rx.fragment(
        rx.el.div(
            card(
                rx.vstack(
                    rx.cond(
                        DeviceState.is_polled,
                        rx.el.p(
                            "The bench asks this device for its readings: it need not send any. "
                            "This is for what else you want to send in its name.",
                            class_name="tb-help",
                        ),
                    ),
                    snippet("Over HTTP", http),
                    snippet("Over MQTT", mqtt),
                    spacing="5",
                    width="100%",
                ),
                title="Send readings",
                actions=[
                    engineers(
                        rx.button(
                            rx.icon("key-round", size=14),
                            "New token",
                            on_click=DeviceState.open_renew(True),
                            variant="soft",
                            size="1",
                        )
                    )
                ],
            ),
            card(
                facts(
                    ("Missing messages", rx.el.span(DeviceState.missing, class_name="tb-num")),
                    ("Its clock is off by", amount(DeviceState.clock_off_s, "s")),
                    ("Last seen", ago(DeviceState.last_seen)),
                    ("Offline after", amount(DeviceState.offline_after_s, "s")),
                ),
                rx.el.p(
                    "Missing messages are counted where a device numbers them (seq).",
                    class_name="tb-help",
                    margin_top="12px",
                ),
                title="Quality",
            ),
            class_name="tb-two",
        ),
        _refusals(),
    )


def _refusals() -> rx.Component:
    columns = [
        Column("When", lambda one: ago(one.at)),
        Column("Through", lambda one: one.door, wide=True),
        Column("Why it was refused", lambda one: rx.el.span(one.errors, class_name="tb-break")),
        Column(
            "Payload",
            lambda one: rx.el.code(one.payload, class_name="tb-break", font_size="12px"),
            wide=True,
        ),
    ]
    return card(
        rx.cond(
            DeviceState.refusals.length() > 0,
            data_table(columns, DeviceState.refusals, label="Refused messages", bare=True),
            rx.box(
                rx.el.p("Nothing was refused of this device.", class_name="tb-help"),
                padding="14px",
            ),
        ),
        title="Refused messages",
        flush=True,
    )


def renew_dialog() -> rx.Component:
    ask = rx.hstack(
        rx.button(
            "Keep",
            variant="soft",
            color_scheme="gray",
            on_click=DeviceState.open_renew(False),
        ),
        rx.button("Make a new token", color_scheme="red", on_click=DeviceState.renew),
        justify="end",
        width="100%",
    )
    done = rx.vstack(
        secret(DeviceState.token, "The new credential. It is shown this once."),
        rx.hstack(
            rx.button("Done", on_click=DeviceState.open_renew(False)), justify="end", width="100%"
        ),
        width="100%",
    )
    return dialog(
        rx.cond(DeviceState.token != "", done, ask),
        title="New token",
        description=(
            "The token the device uses now stops working at once; "
            "it cannot send until it has the new one."
        ),
        is_open=DeviceState.renewing,
        on_open_change=DeviceState.open_renew,
    )
