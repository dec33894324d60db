"""One device: how is it? Its readings first."""

from typing import Any

import reflex as rx

from testbench.components import (
    Column,
    ago,
    amount,
    card,
    chip,
    confirm,
    data_table,
    dialog,
    empty_state,
    facts,
    figure,
    figures,
    form_skeleton,
    number_field,
    outcome_badge,
    save_row,
    secret,
    shell,
    snippet,
    span,
    state_badge,
    status_badge,
    tabs,
    tag_field,
    text_field,
    time_chart,
    view,
)
from testbench.pages.devices import origin
from testbench.state.device import DeviceState

TABS = (
    ("telemetry", "Telemetry"),
    ("runs", "Runs"),
    ("access", "Access"),
    ("details", "Details"),
)
SPANS = (("15m", "15 min"), ("1h", "1 h"), ("6h", "6 h"), ("24h", "24 h"), ("7d", "7 d"))


def device() -> rx.Component:
    """The page."""
    return shell(
        view(DeviceState, form_skeleton(), _body()),
        _hold_dialog(),
        _renew_dialog(),
        _remove_dialog(),
        title=rx.cond(DeviceState.name != "", DeviceState.name, "Device"),
        active="/devices",
        crumbs=[("Devices", "/devices")],
        actions=[rx.cond(DeviceState.loaded, _actions())],
    )


def _actions() -> rx.Component:
    hold = rx.button(
        rx.icon("wrench", size=14),
        rx.el.span("Maintenance", class_name="tb-wide"),
        on_click=DeviceState.open_hold(True),
        variant="soft",
        color_scheme="gray",
        custom_attrs={"aria-label": "Maintenance"},
    )
    release = rx.button(
        rx.icon("circle-check", size=14),
        rx.el.span("End maintenance", class_name="tb-wide"),
        on_click=DeviceState.release,
        variant="soft",
        custom_attrs={"aria-label": "End maintenance"},
    )
    return rx.hstack(
        rx.cond(DeviceState.maintenance, release, hold),
        rx.link(
            rx.button(rx.icon("play", size=14), "Start run", tab_index=-1),
            href=f"/runs/new?device={DeviceState.id}",
        ),
        spacing="2",
    )


def _body() -> rx.Component:
    return rx.fragment(
        _head(),
        tabs(TABS, DeviceState.tab, lambda key: DeviceState.tab_links[key]),
        rx.match(
            DeviceState.tab,
            ("runs", _runs()),
            ("access", _access()),
            ("details", _details()),
            _telemetry(),
        ),
    )


def _head() -> rx.Component:
    return rx.el.div(
        state_badge(DeviceState.state, DeviceState.online, size="2"),
        rx.cond(
            DeviceState.run_id != "",
            rx.link("Open its run", href=f"/runs/{DeviceState.run_id}", size="2"),
        ),
        rx.el.span("Last seen ", ago(DeviceState.last_seen), class_name="tb-help"),
        rx.cond(
            DeviceState.reason != "",
            rx.el.span("Reason: ", DeviceState.reason, class_name="tb-help"),
        ),
        rx.foreach(
            DeviceState.tags,
            lambda tag: rx.link(
                tag, href=f"/devices?tag={tag}", class_name="tb-tag", underline="none"
            ),
        ),
        rx.cond(
            DeviceState.poll_error != "",
            rx.el.span(
                rx.icon("circle-alert", size=14, aria_hidden=True),
                DeviceState.poll_error,
                class_name="tb-fault",
            ),
        ),
        class_name="tb-filters",
    )


# --- telemetry


def _telemetry() -> rx.Component:
    return rx.cond(
        DeviceState.figures.length() > 0,
        rx.fragment(
            figures(rx.foreach(DeviceState.figures, _figure)),
            rx.el.div(
                rx.el.div(
                    *(
                        chip(label, DeviceState.span_links[key], DeviceState.span == key)
                        for key, label in SPANS
                    ),
                    class_name="tb-chips",
                    role="group",
                    aria_label="Time range",
                ),
                rx.spacer(),
                rx.el.div(
                    rx.foreach(
                        DeviceState.toggles,
                        lambda one: chip(one.metric, one.href, one.drawn),
                    ),
                    class_name="tb-chips",
                    role="group",
                    aria_label="Metrics",
                ),
                class_name="tb-filters",
            ),
            rx.el.div(rx.foreach(DeviceState.charts, _chart), class_name="tb-charts", id="charts"),
        ),
        card(
            empty_state(
                "radio",
                "No readings yet",
                "Let the device send its first reading; how is under Access.",
                rx.link(
                    rx.button("Show access", variant="soft", tab_index=-1),
                    href=DeviceState.tab_links["access"],
                ),
            ),
            flush=True,
        ),
    )


def _figure(one: Any) -> rx.Component:
    return figure(one.metric, amount(one.value, one.unit), note=ago(one.at))


def _chart(chart: Any) -> rx.Component:
    unit = rx.cond(chart.unit != "", f" ({chart.unit})", "")
    return card(
        time_chart(chart.lines, start=chart.start, end=chart.end, label=chart.metric),
        title=rx.fragment(chart.metric, unit),
    )


# --- runs


def _runs() -> rx.Component:
    columns = [
        Column(
            "Run",
            lambda run: rx.link(
                rx.el.span("#", run.number, " ", class_name="tb-muted tb-num"),
                run.name,
                href=f"/runs/{run.id}",
                class_name="tb-open",
                underline="none",
            ),
        ),
        Column(
            "Outcome",
            lambda run: rx.cond(
                run.outcome != "", outcome_badge(run.outcome), status_badge(run.status)
            ),
        ),
        Column("Test case", lambda run: run.test_case, wide=True),
        Column("Took", lambda run: span(run.seconds), right=True, wide=True),
        Column("Started", lambda run: ago(run.queued_at), right=True),
    ]
    return rx.cond(
        DeviceState.runs.length() > 0,
        rx.fragment(
            data_table(
                columns,
                DeviceState.runs,
                label="Runs of this device",
                href=lambda run: f"/runs/{run.id}",
            ),
            rx.cond(
                DeviceState.runs_total > DeviceState.runs.length(),
                rx.link(
                    f"All {DeviceState.runs_total} runs",
                    href=f"/runs?device={DeviceState.id}",
                    size="2",
                ),
            ),
        ),
        card(
            empty_state(
                "circle-play",
                "No runs yet",
                "Start one; its verdicts will be kept here.",
                rx.link(
                    rx.button("Start run", tab_index=-1),
                    href=f"/runs/new?device={DeviceState.id}",
                ),
            ),
            flush=True,
        ),
    )


# --- access


def _access() -> rx.Component:
    host = DeviceState.router.url.netloc.split(":")[0]
    token = rx.cond(DeviceState.token != "", DeviceState.token, "$TOKEN")
    http = (
        f"curl -X POST {origin()}/api/telemetry \\\n"
        f'  -H "Authorization: Bearer {token}" \\\n'
        "  -d '{\"temp\": 21.5}'"
    )
    mqtt = (
        f"mosquitto_pub -h {host} -u {DeviceState.id} -P {token} \\\n"
        f"  -t devices/{DeviceState.id}/telemetry -q 1 \\\n"
        "  -m '{\"temp\": 21.5}'"
    )
    return rx.fragment(
        rx.el.div(
            card(
                rx.vstack(
                    snippet("Over HTTP", http),
                    snippet("Over MQTT", mqtt),
                    spacing="5",
                    width="100%",
                ),
                title="Send readings",
                actions=[
                    rx.button(
                        rx.icon("key-round", size=14),
                        "New token",
                        on_click=DeviceState.open_renew(True),
                        variant="soft",
                        size="1",
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


# --- details


def _fault(name: str) -> Any:
    return DeviceState.form_errors[name].to(str) | ""


def _details() -> rx.Component:
    form = rx.form(
        rx.vstack(
            text_field(
                "name",
                "Name",
                default_value=DeviceState.name,
                error=_fault("name"),
                max_length=200,
            ),
            tag_field("tags", default_value=DeviceState.tags.join(", "), error=_fault("tags")),
            number_field(
                "offline_after_s",
                "Offline after",
                unit="s",
                help="Seconds of silence after which it counts as offline.",
                default_value=DeviceState.offline_after_s.to_string(),
                error=_fault("offline_after_s"),
            ),
            save_row(busy=DeviceState.saving, error=_fault("")),
            spacing="4",
            align="stretch",
        ),
        on_submit=DeviceState.save,
        # Anew once the device is here: its values stand in the fields.
        key=DeviceState.id,
    )
    about = rx.el.dl(
        rx.foreach(DeviceState.facts, _fact),
        rx.foreach(DeviceState.info, _fact),
        class_name="tb-facts",
    )
    remove = rx.hstack(
        rx.el.p("Its runs and readings stay; its credential stops working.", class_name="tb-help"),
        rx.spacer(),
        rx.button(
            "Remove device",
            color_scheme="red",
            variant="soft",
            on_click=DeviceState.open_remove(True),
        ),
        align="center",
        wrap="wrap",
    )
    return rx.el.div(
        card(form, title="Settings"),
        rx.vstack(
            card(about, title="About", width="100%"),
            card(remove, title="Remove", width="100%"),
            spacing="4",
            width="100%",
            align="stretch",
        ),
        class_name="tb-halves",
    )


def _fact(pair: Any) -> rx.Component:
    return rx.fragment(rx.el.dt(pair[0]), rx.el.dd(pair[1]))


# --- dialogs


def _hold_dialog() -> rx.Component:
    return dialog(
        rx.form(
            rx.vstack(
                text_field(
                    "reason",
                    "Reason (optional)",
                    auto_focus=True,
                    max_length=500,
                    placeholder="Fan is being replaced",
                ),
                save_row(label="Start maintenance", on_cancel=DeviceState.open_hold(False)),
            ),
            on_submit=DeviceState.hold,
        ),
        title="Hold for maintenance",
        description="No run takes the device until you release it. A run it is in goes on.",
        is_open=DeviceState.holding,
        on_open_change=DeviceState.open_hold,
    )


def _renew_dialog() -> rx.Component:
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


def _remove_dialog() -> rx.Component:
    return confirm(
        title=f"Remove {DeviceState.name}?",
        lost=(
            "It leaves the fleet and its credential stops working. "
            "Its runs and readings stay in the history."
        ),
        action="Remove device",
        is_open=DeviceState.removing,
        on_open_change=DeviceState.open_remove,
        on_confirm=DeviceState.remove,
    )
