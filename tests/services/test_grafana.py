"""Which dashboards Grafana gets, when, and what becomes of them if it fails."""

import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from testbench.adapters import db
from testbench.adapters import grafana as adapter
from testbench.domain.dashboards import FLEET_UID, uid_of
from testbench.domain.identity import BENCH
from testbench.models import Device, GrafanaDashboard
from testbench.services import devices, grafana, health, removals, telemetry
from testbench.services.devices import DevicePatch, DeviceView, NewDevice
from testbench.services.telemetry import Message
from tests.grafanas import TOKEN, Grafana, recorded
from tests.services import Env, free_port


@pytest.fixture
def server(bench_env: Env) -> Iterator[Grafana]:
    """Saves and deletes whatever it is asked to, unless the test says otherwise."""
    with recorded() as playing:
        bench_env.set(
            GRAFANA_URL=playing.url, GRAFANA_TOKEN=TOKEN, PUBLIC_URL="http://bench.lab:3000"
        )
        playing.always("save", "publish", "shared", "unpublish", "delete", "get")
        yield playing
    playing.nothing_left()


def monitored(name: str = "rack 1", kind: Any = "axeos", **values: Any) -> uuid.UUID:
    """A device that was heard of."""
    mac = f"aa:bb:cc:00:00:{len(name):02x}" if kind == "axeos" else None
    made = db.run(lambda tx: devices.create(tx, BENCH, NewDevice(name=name, kind=kind, mac=mac)))
    if kind == "axeos":
        with db.transaction() as tx:
            tx.session.get_one(Device, made.id).tracing = True
    heard(made.id, **(values or {"temp": 60.0}))
    return made.id


def heard(device_id: uuid.UUID, **values: Any) -> None:
    now = time.time_ns() // 1_000_000
    assert telemetry.ingest([Message(device_id, values, "poll", now)]).accepted


def view(device_id: uuid.UUID) -> DeviceView:
    return db.run(lambda tx: devices.get(tx, BENCH, device_id))


def row(device_id: uuid.UUID | None) -> GrafanaDashboard | None:
    uid = uid_of(device_id) if device_id else FLEET_UID
    with db.transaction() as tx:
        return tx.session.get(GrafanaDashboard, uid)


def turn() -> int:
    """The clock's chores, after every pause is over; how many dashboards are done."""
    grafana._outage().until = 0
    grafana.plan()
    with db.transaction() as tx:
        tx.cursor().execute("UPDATE grafana_dashboards SET due_at = now() WHERE due_at IS NOT NULL")
    return grafana.work_off()


def saved(server: Grafana) -> list[str]:
    return [body["dashboard"]["uid"] for body in server.bodies if body and "dashboard" in body]


def test_monitored_device_and_the_fleet_get_a_dashboard_each(server: Grafana) -> None:
    one = monitored()

    assert turn() == 2

    assert sorted(saved(server)) == sorted([FLEET_UID, uid_of(one)])
    made = view(one).grafana
    assert made is not None
    assert made.url == f"{server.url}/d/{uid_of(one)}"
    assert made.public_url is None
    assert turn() == 0
    assert len(server.asked) == 2


def test_nothing_is_asked_of_a_device_that_was_never_heard_or_is_not_monitored(
    server: Grafana,
) -> None:
    one = monitored()
    with db.transaction() as tx:
        tx.session.get_one(Device, one).tracing = False
    db.run(lambda tx: devices.create(tx, BENCH, NewDevice(name="mute", kind="mqtt")))

    assert turn() == 0
    assert view(one).grafana is None


def test_fleets_dashboard_is_made_at_start_with_auto_listen(
    server: Grafana, bench_env: Env
) -> None:
    bench_env.set(AUTO_LISTEN="true")

    assert turn() == 1
    assert saved(server) == [FLEET_UID]


def test_without_grafana_nothing_is_planned(bench_env: Env) -> None:
    one = monitored()

    assert grafana.plan() == grafana.work_off() == 0
    assert view(one).grafana is None
    assert grafana.url_of(one) is None


def test_dashboards_are_published_where_that_is_wanted_and_taken_back(
    server: Grafana, bench_env: Env
) -> None:
    bench_env.set(GRAFANA_PUBLIC="true")
    one = monitored()

    assert turn() == 2

    made = view(one).grafana
    assert made is not None
    assert made.public_url == f"{server.url}/public-dashboards/5c948bf96e6a4b13bd91975f9a2028b7"
    bench_env.set(GRAFANA_PUBLIC="false")
    assert turn() == 2
    now = view(one).grafana
    assert now is not None
    assert now.public_url is None
    assert sum(asked.startswith("DELETE") for asked in server.asked) == 2


def test_renamed_device_gets_its_new_title(server: Grafana) -> None:
    one = monitored("before")
    turn()

    db.run(lambda tx: devices.change(tx, BENCH, str(one), DevicePatch(name="after")))

    assert turn() == 1
    assert server.bodies[-1]["dashboard"]["title"] == "Testbench: after"
    assert server.bodies[-1]["overwrite"] is True


def test_new_metric_of_another_kind_of_device_gets_its_panel(server: Grafana) -> None:
    one = monitored("sensor", "mqtt", temp=20.0)
    turn()

    heard(one, humidity=40.0)

    assert turn() == 1
    panels = server.bodies[-1]["dashboard"]["panels"]
    assert [panel["title"] for panel in panels] == ["humidity", "temp"]


def test_failing_grafana_leaves_monitoring_alone_and_is_tried_again(server: Grafana) -> None:
    one = monitored()
    server.always("save_fails")
    grafana.plan()

    assert grafana.work_off() == 0

    assert len(server.asked) == 1, "after an outage the others are not tried either"
    assert grafana.work_off() == 0
    assert len(server.asked) == 1, "nor the same one at once"
    heard(one, temp=61.0)
    assert view(one).online
    with db.transaction() as tx:
        trouble = grafana.trouble(tx)
    assert trouble == "a dashboard waits: Grafana answered 500: Failed to save dashboard"
    server.always("save")
    assert turn() == 2
    assert view(one).grafana is not None
    with db.transaction() as tx:
        assert grafana.trouble(tx) is None


def test_health_says_what_grafana_said(server: Grafana) -> None:
    monitored()
    server.always("save_forbidden", "org")
    grafana.plan()
    grafana.work_off()

    found = health.check().checks["grafana"]

    assert not found.ok
    assert "refuses GRAFANA_TOKEN (403" in found.detail


def test_grafana_that_is_away_fails_nothing_else(server: Grafana, bench_env: Env) -> None:
    one = monitored()
    bench_env.set(GRAFANA_URL=f"http://127.0.0.1:{free_port()}")
    grafana.plan()

    assert grafana.work_off() == 0

    assert view(one).grafana is None
    assert not health.check().checks["grafana"].ok


def test_pauses_grow_to_five_minutes() -> None:
    assert [grafana.pause_s(n) for n in (1, 2, 3, 8, 9, 1000)] == [2, 4, 8, 256, 300, 300]


def test_refused_dashboard_holds_up_no_other(server: Grafana) -> None:
    one, two = monitored("one"), monitored("second")
    server.always("save_mismatch")
    grafana.plan()
    assert grafana.work_off() == 0

    server.always("save")
    with db.transaction() as tx:
        tx.cursor().execute(
            "UPDATE grafana_dashboards SET due_at = now() WHERE device_id = %s", (two,)
        )
    assert grafana.work_off() == 1

    assert view(one).grafana is None
    assert view(two).grafana is not None
    waits = row(one)
    assert waits is not None
    assert waits.failures == 1
    assert waits.due_at is not None
    assert waits.error == "Grafana answered 412: The dashboard has been changed by someone else"


def test_removal_with_its_data_unpublishes_and_deletes(server: Grafana, bench_env: Env) -> None:
    bench_env.set(GRAFANA_PUBLIC="true", DELETE_DATA_ON_DEVICE_REMOVE="true")
    one = monitored()
    turn()
    server.asked.clear()

    db.run(lambda tx: devices.remove(tx, BENCH, str(one)))
    removals.forget_removed()
    turn()

    uid = uid_of(one)
    assert [asked for asked in server.asked if uid in asked] == [
        f"GET /api/dashboards/uid/{uid}/public-dashboards",
        f"DELETE /api/dashboards/uid/{uid}/public-dashboards/cd56d9fd-f3d4-486d-afba-a21760e2acbe",
        f"DELETE /api/dashboards/uid/{uid}",
    ]
    assert row(one) is None
    assert row(None) is not None


def test_removal_that_keeps_the_data_keeps_the_dashboard(server: Grafana) -> None:
    one = monitored()
    turn()

    db.run(lambda tx: devices.remove(tx, BENCH, str(one)))
    removals.forget_removed()

    assert turn() == 0
    assert row(one) is not None


def test_deletion_waits_until_grafana_is_back(server: Grafana) -> None:
    one = monitored()
    turn()
    server.always("delete_fails")

    with db.transaction() as tx:
        tx.session.get_one(Device, one).tracing = False
        grafana.forget(tx, one)
    assert turn() == 0
    assert view(one).grafana is None or row(one) is not None
    waits = row(one)
    assert waits is not None
    assert waits.deleting

    server.always("delete_none")
    assert turn() == 1
    assert row(one) is None


def test_device_that_is_back_before_its_dashboard_is_gone_gets_a_new_one(server: Grafana) -> None:
    one = monitored()
    turn()
    with db.transaction() as tx:
        grafana.forget(tx, one)

    assert turn() == 1
    assert row(one) is None
    assert turn() == 1
    assert view(one).grafana is not None


def test_deletion_asked_while_the_dashboard_is_being_saved_is_not_forgotten(
    server: Grafana, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = monitored()
    real = adapter.save

    def save(dashboard: Any, message: str) -> str:
        if dashboard["uid"] == uid_of(one):
            with db.transaction() as tx:
                tx.session.get_one(Device, one).tracing = False
                grafana.forget(tx, one)
        return real(dashboard, message)

    monkeypatch.setattr(adapter, "save", save)
    turn()
    turn()

    assert f"DELETE /api/dashboards/uid/{uid_of(one)}" in server.asked
    assert row(one) is None


def test_dashboards_that_grafana_lost_are_made_anew(server: Grafana) -> None:
    monitored()
    turn()
    assert grafana.verify()

    server.expect("get_none", uid=FLEET_UID)
    assert not grafana.verify()

    assert turn() == 2


def test_links_lead_to_a_time_and_to_the_devices_of_a_run(server: Grafana) -> None:
    one, two = monitored("one"), monitored("second")
    turn()
    start = datetime(2026, 6, 1, tzinfo=UTC)
    end = datetime(2026, 6, 1, 0, 5, tzinfo=UTC)
    span = "from=1780272000000&to=1780272300000"

    with db.transaction() as tx:
        alone = grafana.url_of_run(tx, [one], start, end)
        both = grafana.url_of_run(tx, [one, two], start, end)
        early = grafana.url_of_run(tx, [one], None, None)

    assert grafana.url_of(one, start, end) == f"{server.url}/d/{uid_of(one)}?{span}" == alone
    chosen = f"var-device={one}&var-device={two}"
    assert both == f"{server.url}/d/{FLEET_UID}?{span}&{chosen}"
    assert early is None
