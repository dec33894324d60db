"""An instance's folder: secrets stay private, ports stay the same, one launcher at a time."""

import os
import socket
import stat
from pathlib import Path

import pytest

from testbench.launcher.instance import Instance, Refused
from testbench.launcher.services import without_credentials


def test_secrets_are_kept_and_readable_by_the_owner_alone(tmp_path: Path) -> None:
    first = Instance.at(tmp_path / "bench").secret("secret_key")
    again = Instance.at(tmp_path / "bench")
    assert again.secret("secret_key") == first
    assert len(first) >= 32
    assert again.secret("other") != first
    assert stat.S_IMODE((tmp_path / "bench" / "secrets.json").stat().st_mode) == 0o600


def test_a_password_is_told_once(tmp_path: Path) -> None:
    instance = Instance.at(tmp_path)
    instance.keep("admin_password", "made up")
    assert [instance.to_tell("admin_password") for _ in range(2)] == ["made up", None]
    assert instance.secret("admin_password") == "made up"


def test_a_service_keeps_its_port_while_it_is_free(tmp_path: Path) -> None:
    instance = Instance.at(tmp_path)
    port = instance.port("mqtt")
    assert instance.port("mqtt") == port
    assert instance.port("redis") != port
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        assert instance.port("mqtt") != port


def test_what_a_dead_launcher_told_is_not_believed(tmp_path: Path) -> None:
    instance = Instance.at(tmp_path)
    with instance.lock():
        instance.tell({"url": "http://127.0.0.1:1"})
        assert instance.state()["url"] == "http://127.0.0.1:1"
    assert instance.state() == {}


def test_a_folder_in_use_is_refused_with_the_holders_pid(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    instance = Instance.at(tmp_path)
    monkeypatch.setattr("testbench.launcher.instance._is_launcher", lambda _pid: True)
    with instance.lock(), pytest.raises(Refused, match=f"running bench .pid {os.getpid()}"):
        Instance.at(tmp_path).lock().__enter__()


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://u:p@db.example:5432/bench", "postgresql://db.example:5432/bench"),
        ("redis://:p@127.0.0.1:6379/0", "redis://127.0.0.1:6379/0"),
        ("amqp://u:p%40ss@rabbit/%2F", "amqp://rabbit/%2F"),
        ("https://grafana.example/?token=secret#secret", "https://grafana.example/"),
    ],
)
def test_urls_are_shown_without_credentials(url: str, shown: str) -> None:
    assert without_credentials(url) == shown
