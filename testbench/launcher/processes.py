"""The bench's own processes, as commands."""

from pathlib import Path

from testbench.launcher.process import PYTHON, Process

WEB = "testbench.testbench:app"


def web(port: int, host: str, frontend: Path, folder: Path) -> Process:
    """Reflex and the API in one granian worker, with the front end as it was built."""
    env = {
        "REFLEX_WEB_WORKDIR": str(frontend),
        "REFLEX_UPLOADED_FILES_DIR": str(folder / "uploads"),
        "REFLEX_STATES_WORKDIR": str(folder / "states"),
        "REFLEX_ENV_MODE": "prod",
        "REFLEX_FRONTEND_PORT": str(port),
        "REFLEX_BACKEND_PORT": str(port),
        "__REFLEX_SKIP_COMPILE": "true",
        "__REFLEX_MOUNT_FRONTEND_COMPILED_APP": "true",
    }
    options = (
        *("--interface", "asgi", "--factory", "--workers", "1", "--host", host),
        *("--port", str(port), "--log-level", "warning", "--workers-kill-timeout", "4"),
    )
    return Process("web", (*PYTHON, "granian", *options, WEB), env)


def workers(count: int) -> list[Process]:
    """Dramatiq pools; each dies as a whole when its one child does, and is started again."""
    command = (*PYTHON, "dramatiq", "testbench.tasks", "--processes", "1", "--threads", "8")
    names = ["worker", *(f"worker-{number}" for number in range(2, count + 1))]
    return [Process(name, command) for name in names[:count]]


def collector() -> Process:
    """Telemetry in: polling, MQTT, device logs."""
    return Process("collector", (*PYTHON, "testbench", "collector"))


def demo() -> Process:
    """The demo fleet, which speaks to the bench over HTTP."""
    return Process("demo", (*PYTHON, "testbench", "demo"), patience_s=1)


def clock() -> Process:
    """Publishes what is due."""
    return Process("clock", (*PYTHON, "testbench", "clock"))
