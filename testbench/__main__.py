"""The command line: `python -m testbench VERB`."""

import argparse
import importlib
import os
import sys
from pathlib import Path

if __name__ == "__main__":
    # structlog and httpx take rich along where it is installed: 5 to 10 MB a process, for colours
    # that logs as JSON do not have. To import, None means that there is none.
    sys.modules["rich"] = None  # type: ignore[assignment]

from testbench.adapters import logs
from testbench.domain.errors import BenchError
from testbench.domain.identity import ROLES
from testbench.launcher.instance import Instance, Refused
from testbench.settings import settings

PROCESSES = ("collector", "clock", "assistant", "broker")
"""Long-lived doors the launcher starts; each is `testbench.processes.<name>:main`."""


def main() -> int:
    """Exit code 0: done; 1: refused or something critical is wrong; 2: wrong usage."""
    logs.configure()
    verb, *rest = sys.argv[1:] or ["--help"]
    if verb in PROCESSES:
        importlib.import_module(f"testbench.processes.{verb}").main()
        return 0
    if verb == "demo":
        importlib.import_module("testbench.launcher.demo").main()
        return 0
    if verb == "simulate":
        return int(importlib.import_module("testbench.launcher.simulate").main(rest) or 0)
    arguments = _parser().parse_args()
    try:
        return int(arguments.run(arguments) or 0)
    except (Refused, BenchError) as error:
        print(error, file=sys.stderr)
        return 1


def _up(arguments: argparse.Namespace) -> int:
    from testbench.launcher.up import Options, up

    return up(Options(arguments.data, arguments.port, arguments.workers, arguments.demo))


def _status(arguments: argparse.Namespace) -> int:
    from testbench.launcher.status import show

    return show(arguments.data, as_json=arguments.json)


def _doctor(arguments: argparse.Namespace) -> int:
    from testbench.launcher.doctor import examine

    return examine(arguments.data)


def _create_user(arguments: argparse.Namespace) -> None:
    _enter(arguments.data)
    from testbench.launcher.users import ask_password, create_user

    create_user(arguments.name, arguments.password or ask_password(), arguments.role)
    print(f"{arguments.name} ({arguments.role}) can log in now.")


def _prepare(arguments: argparse.Namespace) -> None:
    from testbench.launcher.prepare import prepare

    prepare(arguments.demo)


def _migrate(arguments: argparse.Namespace) -> None:
    _enter(arguments.data)
    from testbench.launcher.prepare import write_migration

    write_migration(arguments.text)


def _frontend(_: argparse.Namespace) -> None:
    from testbench.launcher import frontend

    print(frontend.build())


def _services(arguments: argparse.Namespace) -> None:
    from testbench.launcher import private

    if arguments.action == "down":
        return private.down(arguments.dir)
    private.install()
    private.up(arguments.dir)
    print((arguments.dir / "env").read_text(), end="")


def _enter(data: Path) -> None:
    """Takes the place of one of the running bench's processes: its URLs are ours."""
    if data.exists():
        os.environ.update(Instance.at(data).state().get("env", {}))
        settings.cache_clear()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m testbench", description=__doc__)
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    data = argparse.ArgumentParser(add_help=False)
    data.add_argument(
        "--data",
        type=Path,
        default=settings().testbench_data,
        metavar="DIR",
        help="the bench's folder (default: %(default)s)",
    )

    up = verbs.add_parser("up", parents=[data], help="start everything and keep it running")
    up.add_argument("--port", type=int, default=settings().port, metavar="N")
    up.add_argument("--workers", type=_at_least_one, default=1, metavar="N")
    up.add_argument("--demo", action="store_true", help="with a small simulated fleet")
    up.set_defaults(run=_up)

    status = verbs.add_parser("status", parents=[data], help="what runs, and where")
    status.add_argument("--json", action="store_true")
    status.set_defaults(run=_status)

    doctor = verbs.add_parser("doctor", parents=[data], help="what is wrong, and what to do")
    doctor.set_defaults(run=_doctor)

    user = verbs.add_parser("create-user", parents=[data], help="make a person who can log in")
    user.add_argument("name")
    user.add_argument("--role", choices=ROLES, required=True)
    user.add_argument("--password", help="asked for where it is not given")
    user.set_defaults(run=_create_user)

    verbs.add_parser("simulate", add_help=False, help="devices that speak the real protocols")

    services = verbs.add_parser("services", help="real servers, privately below a folder")
    services.add_argument("action", choices=("up", "down"))
    services.add_argument("--dir", type=Path, default=Path(".services"), metavar="DIR")
    services.set_defaults(run=_services)

    frontend = verbs.add_parser("frontend", help="build the front end where it changed")
    frontend.set_defaults(run=_frontend)

    prepare = verbs.add_parser("prepare", help="migrate the database and make the first admin")
    prepare.add_argument("--demo", action="store_true")
    prepare.set_defaults(run=_prepare)

    migrate = verbs.add_parser("migrate", parents=[data], help="write the next migration")
    migrate.add_argument("text", help="what changes")
    migrate.set_defaults(run=_migrate)
    return parser


def _at_least_one(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return number


if __name__ == "__main__":
    sys.exit(main())
