"""What the bench says to Grafana, and what it makes of the answers."""

from collections.abc import Iterator

import pytest

from testbench.adapters import grafana
from testbench.domain.errors import BenchError
from tests.grafanas import TOKEN, Grafana, recorded
from tests.services import Env, forget, free_port

UID = "tb-01a1fb98022c7653a8c027b303e44b9e"
DASHBOARD = {"id": None, "uid": UID, "title": "Testbench: rack 1", "panels": []}
ACCESS = "5c948bf96e6a4b13bd91975f9a2028b7"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Grafana]:
    with recorded() as playing:
        Env(monkeypatch).set(GRAFANA_URL=f"{playing.url}/", GRAFANA_TOKEN=TOKEN)
        yield playing
        monkeypatch.undo()
    forget()
    playing.nothing_left()


def test_dashboard_is_saved_over_an_older_one(server: Grafana) -> None:
    server.expect("save", uid=UID)

    assert grafana.save(DASHBOARD, "Made by Testbench") == f"/d/{UID}/testbench-rack-1"
    assert server.bodies[0]["dashboard"] == DASHBOARD


def test_dashboard_is_published_in_one_call(server: Grafana) -> None:
    server.expect("publish", uid=UID)

    assert grafana.publish(UID) == ACCESS


def test_dashboard_that_is_public_already_stays_so(server: Grafana) -> None:
    server.expect("publish_already", "shared", uid=UID)

    assert grafana.publish(UID) == ACCESS


def test_paused_public_dashboard_goes_on(server: Grafana) -> None:
    server.expect("publish_already", "shared_paused", "share_again", uid=UID)

    assert grafana.publish(UID) == ACCESS


def test_another_refusal_to_publish_is_told(server: Grafana) -> None:
    server.expect("publish_invalid", uid=UID)

    with pytest.raises(grafana.Refused, match="Invalid share type"):
        grafana.publish(UID)


def test_published_dashboard_is_taken_back_and_deleted(server: Grafana) -> None:
    server.expect("shared", "unpublish", "delete", uid=UID)

    grafana.unpublish(UID)
    grafana.delete(UID)


def test_what_is_not_there_need_not_be_deleted(server: Grafana) -> None:
    server.expect("shared_none", "delete_none", uid=UID)

    grafana.unpublish(UID)
    grafana.delete(UID)


def test_grafana_is_asked_what_it_has(server: Grafana) -> None:
    server.expect("get", "get_none", uid=UID)

    assert grafana.exists(UID)
    assert not grafana.exists(UID)


@pytest.mark.parametrize(
    ("scene", "error", "told"),
    [
        ("save_mismatch", grafana.Refused, "412: The dashboard has been changed by someone else"),
        ("save_invalid", grafana.Refused, "400: Dashboard title cannot be empty"),
        ("save_fails", grafana.Away, "500: Failed to save dashboard"),
        ("save_unauthorized", grafana.Away, "refuses GRAFANA_TOKEN .401: Invalid API key"),
        ("save_forbidden", grafana.Away, "refuses GRAFANA_TOKEN .403: You'll need"),
        ("save_too_often", grafana.Away, "429"),
        ("save_no_json", grafana.Away, "502: no reason given"),
    ],
)
def test_failure_is_told_in_grafanas_words(
    server: Grafana, scene: str, error: type[BenchError], told: str
) -> None:
    server.expect(scene, uid=UID)

    with pytest.raises(error, match=told):
        grafana.save(DASHBOARD, "Made by Testbench")


def test_hanging_grafana_is_not_waited_for(
    server: Grafana, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grafana, "ANSWER_S", 0.3)
    server.expect("save_hangs", uid=UID)

    with pytest.raises(grafana.Away, match="ReadTimeout"):
        grafana.save(DASHBOARD, "Made by Testbench")


def test_redirect_is_not_followed_and_the_token_goes_nowhere(server: Grafana) -> None:
    with recorded() as elsewhere:
        server.expect("save_redirected", uid=UID, elsewhere=elsewhere.url)

        with pytest.raises(grafana.Away, match="302"):
            grafana.save(DASHBOARD, "Made by Testbench")
        assert elsewhere.asked == []


def test_grafana_that_is_not_there_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    Env(monkeypatch).set(GRAFANA_URL=f"http://127.0.0.1:{free_port()}")

    with pytest.raises(grafana.Away, match="ConnectError"):
        grafana.delete(UID)


@pytest.mark.parametrize("url", ["http://169.254.169.254", "ftp://grafana", "http://u:p@grafana"])
def test_address_that_nobody_may_call_is_not_called(
    monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    Env(monkeypatch).set(GRAFANA_URL=url, GRAFANA_TOKEN=TOKEN)

    with pytest.raises(grafana.Away, match="GRAFANA_URL"):
        grafana.delete(UID)


def test_user_and_password_are_a_token_too(
    server: Grafana, monkeypatch: pytest.MonkeyPatch
) -> None:
    Env(monkeypatch).set(GRAFANA_TOKEN="admin:testbench")
    server.authorization = "Basic YWRtaW46dGVzdGJlbmNo"
    server.expect("delete", uid=UID)

    grafana.delete(UID)


def test_grafana_below_a_path_and_by_name_is_reached(
    server: Grafana, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = server.url.replace("127.0.0.1", "localhost")
    Env(monkeypatch).set(GRAFANA_URL=f"{named}/grafana")
    server.always("delete")

    with pytest.raises(grafana.Away):
        grafana.delete(UID)

    assert server.asked == [f"DELETE /grafana/api/dashboards/uid/{UID}"]
    server.faults.clear()
