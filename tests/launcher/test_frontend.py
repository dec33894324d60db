"""One build of the front end serves every port and host, and is made anew when its sources are."""

import shutil
from pathlib import Path

import pytest

from testbench.launcher import frontend

COMPILED = (
    "var e={PING:`http://localhost:8000/ping`,EVENT:`ws://localhost:8000/_event`,"
    "TRANSPORT:`websocket`,TEST_MODE:!1};export{e as t};"
)


def test_addresses_follow_the_page() -> None:
    script = frontend.relocate(COMPILED)
    assert "localhost" not in script
    assert "PING:location.origin+`/ping`" in script
    assert "EVENT:location.origin.replace(/^http/,`ws`)+`/_event`" in script
    assert script.endswith("TRANSPORT:`websocket`,TEST_MODE:!1};export{e as t};")


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = frontend.ROOT
    for name in ("testbench", "assets"):
        shutil.copytree(root / name, tmp_path / name)
    for name in ("rxconfig.py", "requirements.txt"):
        shutil.copy(root / name, tmp_path)
    monkeypatch.setattr(frontend, "ROOT", tmp_path)
    return tmp_path


@pytest.mark.parametrize("path", ["testbench/testbench.py", "rxconfig.py", "assets/new.css"])
def test_a_source_of_the_pages_asks_for_a_new_build(checkout: Path, path: str) -> None:
    before = frontend.folder()
    with (checkout / path).open("a") as file:
        file.write("\n# changed\n")
    assert frontend.folder() != before


def test_another_reflex_asks_for_a_new_build(checkout: Path) -> None:
    before = frontend.folder()
    pins = checkout / "requirements.txt"
    pins.write_text(pins.read_text().replace("reflex==", "reflex==9"))
    assert frontend.folder() != before


@pytest.mark.parametrize("path", ["testbench/launcher/up.py", "testbench/services/__init__.py"])
def test_what_no_page_depends_on_does_not(checkout: Path, path: str) -> None:
    before = frontend.folder()
    with (checkout / path).open("a") as file:
        file.write("\n# changed\n")
    assert frontend.folder() == before
