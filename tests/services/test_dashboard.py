"""The home page's data, and each person's arrangement of it."""

import pytest

from testbench.adapters import db
from testbench.domain.errors import Forbidden
from testbench.domain.identity import BENCH, Actor
from testbench.domain.ids import new_id
from testbench.services import dashboard, runs, users
from testbench.services.dashboard import Config
from testbench.services.runs import summaries
from testbench.services.users import NewUser
from tests import made_runs

pytestmark = pytest.mark.usefixtures("bench_env")


def person() -> Actor:
    new = NewUser(username=f"p-{new_id()}", password="correct horse battery", role="viewer")
    made = db.run(lambda tx: users.create(tx, BENCH, new), attempt_s=4)
    return Actor(user_id=made.id, username=made.username, role="viewer")


def test_it_counts_devices_and_runs_as_they_are() -> None:
    busy, free = made_runs.online_device(), made_runs.online_device()
    case = made_runs.case()
    ended = made_runs.judged(case.id, {free.id: {"temp": [99.0]}})
    going = made_runs.started(case.id, [busy.id])

    home = dashboard.get(BENCH)

    assert home.devices.model_dump() == {
        "available": 1,
        "in_test": 1,
        "offline": 0,
        "maintenance": 0,
    }
    assert home.runs.active == 1
    assert [run.id for run in home.runs.live] == [going.id]
    assert [run.id for run in home.runs.recent] == [going.id, ended.id]
    assert home.runs.outcomes_24h == {"pass": 0, "fail": 1, "timeout": 0, "error": 0, "aborted": 0}
    # No clock leads and no worker listens here; the database and the cache are well.
    assert home.system.status == "degraded"
    failed = {name for name, check in home.system.checks.items() if not check.ok}
    assert failed == {"clock", "workers"}


def test_each_person_keeps_an_arrangement_of_their_own() -> None:
    one, other = person(), person()

    db.run(lambda tx: dashboard.configure(tx, one, Config(tiles=["runs", {"x": 1}], range="7d")))

    assert db.run(lambda tx: dashboard.config(tx, one)).tiles == ["runs", {"x": 1}]
    assert db.run(lambda tx: dashboard.config(tx, one)).range == "7d"
    assert db.run(lambda tx: dashboard.config(tx, other)) == Config()


def test_the_bench_itself_has_no_arrangement() -> None:
    with pytest.raises(Forbidden):
        db.run(lambda tx: dashboard.configure(tx, BENCH, Config()))


def test_a_table_of_runs_is_sorted_filtered_and_paged_by_the_database() -> None:
    device, case = made_runs.online_device(), made_runs.case()
    names = ["beta", "Alpha", "100% gamma"]
    for name in names:
        run = made_runs.started(case.id, [device.id], name=name)
        db.run(lambda tx, run=run: runs.cancel(tx, BENCH, str(run.id)))

    def shown(**wanted: object) -> tuple[list[str], int]:
        found = db.run(lambda tx: summaries.table(tx, BENCH, **wanted))  # type: ignore[arg-type]  # as given
        return [row.name for row in found.items], found.total

    assert shown() == (["100% gamma", "Alpha", "beta"], 3)
    assert shown(sort="name", descending=False, limit=1, offset=1) == (["Alpha"], 3)
    assert shown(q="% G") == (["100% gamma"], 1)
    assert shown(status="active") == ([], 0)
    assert shown(outcome="aborted", device_id=str(device.id))[1] == 3
