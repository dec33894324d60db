"""Who is monitored, over REST."""

from typing import Any

from tests.callers import Api, problem

PATH = "/api/devices/listen"
ONE, TWO = "c0:fa:38:00:00:01", "c0:fa:38:00:00:02"


def miner(api: Api, mac: str | None, **more: Any) -> dict[str, Any]:
    return api.device(online=False, kind="axeos", ip="10.0.0.1", mac=mac, **more)


def shown(api: Api, device: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = api.viewer.get(f"/api/devices/{device['id']}").json()
    return found


def test_a_device_registered_with_an_address_is_monitored_from_the_start(api: Api) -> None:
    made = miner(api, ONE)
    assert (made["monitored"], made["tracing"], made["trace_logs"]) == (True, True, False)
    assert (made["poll_interval_s"], made["log_listening"]) == (None, False)
    assert not api.device(online=False, kind="axeos")["monitored"]
    assert not api.device(online=False, kind="http", ip="10.0.0.1")["monitored"]


def test_the_answer_is_the_list_of_monitored_devices(api: Api) -> None:
    one, two = miner(api, ONE), miner(api, TWO)

    answer = api.engineer.put(PATH, json={"macs": [TWO.upper()], "trace_logs": True})

    assert answer.status_code == 200
    assert answer.json() == [shown(api, two)]
    assert shown(api, two)["trace_logs"]
    assert not shown(api, one)["monitored"]
    assert [device["id"] for device in api.engineer.put(PATH, json={}).json()] == [
        one["id"],
        two["id"],
    ]
    assert len(api.engineer.put(PATH).json()) == 2
    assert api.engineer.put(PATH, json={"macs": []}).json() == []


def test_a_mac_that_nobody_has_is_named_and_nothing_changes(api: Api) -> None:
    one = miner(api, ONE)

    refused = problem(api.engineer.put(PATH, json={"macs": [TWO]}), 404)

    assert TWO in refused["detail"]
    assert shown(api, one)["monitored"]


def test_what_does_not_fit_is_refused_by_field(api: Api) -> None:
    miner(api, ONE)
    bad: list[tuple[str, dict[str, Any]]] = [
        ("macs.0", {"macs": ["c0:fa"]}),
        ("macs.1", {"macs": [ONE, "zz:fa:38:00:00:01"]}),
        ("macs.0", {"macs": [""]}),
        ("macs.0", {"macs": [7]}),
        ("macs.0", {"macs": ["x" * 41]}),
        ("macs", {"macs": ONE}),
        ("trace_logs", {"trace_logs": "yes"}),
        ("colour", {"colour": "red"}),
    ]
    for loc, body in bad:
        problem(api.engineer.put(PATH, json=body), 422, loc)
    problem(api.viewer.put(PATH, json={"macs": 7}), 403)
    problem(api.nobody.put(PATH, json={}), 401)


def test_a_polling_interval_is_set_and_taken_back(api: Api) -> None:
    path = f"/api/devices/{miner(api, ONE)['id']}"
    for interval in (1, 2.5, 3600):
        answer = api.engineer.patch(path, json={"poll_interval_s": interval})
        assert answer.json()["poll_interval_s"] == interval
    assert api.engineer.patch(path, json={"name": "m"}).json()["poll_interval_s"] == 3600
    assert (
        api.engineer.patch(path, json={"poll_interval_s": None}).json()["poll_interval_s"] is None
    )
    for interval in (0, 0.5, 3601, -1, "5", True):
        problem(
            api.engineer.patch(path, json={"poll_interval_s": interval}), 422, "poll_interval_s"
        )
