"""`python -m testbench up`: everything that no URL names, then the bench itself, kept running."""

import asyncio
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Coroutine
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from testbench.launcher import demo, embedded, frontend, processes
from testbench.launcher.embedded import Service, until_ready
from testbench.launcher.instance import Instance, Refused, is_free
from testbench.launcher.journal import Journal
from testbench.launcher.process import PYTHON, ROOT, Process
from testbench.launcher.services import named
from testbench.launcher.supervisor import Supervisor
from testbench.settings import Settings, settings

T = TypeVar("T")
SLOW_START_S = 60.0


@dataclass(frozen=True)
class Options:
    """What the command line said."""

    data: Path
    port: int
    workers: int = 1
    demo: bool = False


def up(options: Options) -> int:
    """Runs until SIGTERM or Ctrl-C; returns the exit code."""
    instance = Instance.at(options.data)
    with instance.lock() as lock:
        if not is_free(options.port, settings().listen):
            raise Refused(
                f"Port {options.port} is taken by another program; choose one with --port."
            )
        buried = Journal(instance.folder).bury()
        if buried:
            print(f"Ended {len(buried)} processes an earlier bench had left behind.", flush=True)
        undertaker = _undertaker(instance, lock)
        try:
            return asyncio.run(Bench(instance, options).run())
        finally:
            undertaker.communicate()


def _undertaker(instance: Instance, lock: int) -> subprocess.Popen[bytes]:
    """Ends everything, should this launcher be killed: it sees its end of the pipe close."""
    return subprocess.Popen(
        (*PYTHON, "testbench.launcher.undertaker", str(instance.folder)),
        stdin=subprocess.PIPE,
        cwd=ROOT,
        start_new_session=True,
        pass_fds=(lock,),
    )


@dataclass
class Bench:
    """One life of a bench, from the first service to the last process stopped."""

    instance: Instance
    options: Options
    services: list[Service] = field(default_factory=list[Service])
    env: dict[str, str] = field(default_factory=dict[str, str])

    def __post_init__(self) -> None:
        self.supervisor = Supervisor(self.instance.folder, self.tell)
        self.url = f"http://127.0.0.1:{self.options.port}"

    async def run(self) -> int:
        """Starts all, waits for the signal to stop, stops all."""
        asked = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(number, asked.set)
        stopping = asyncio.create_task(asked.wait())
        starting = asyncio.create_task(self._start())
        try:
            await asyncio.wait((starting, stopping), return_when=asyncio.FIRST_COMPLETED)
            if not starting.done():
                starting.cancel()
                await asyncio.wait((starting,))
            elif (error := starting.exception()) is not None:
                raise error
            await stopping
            print("Stopping …", flush=True)
        finally:
            await self.supervisor.stop()
            self.instance.tell({})
        return 0

    def tell(self) -> None:
        """Writes down what runs now, credentials included: the file is its owner's alone."""
        pids = self.supervisor.pids()
        embedded_names = {service.name for service in self.services}
        self.instance.tell(
            {
                "pid": os.getpid(),
                "url": self.url,
                "env": self.env,
                "processes": [
                    {"name": name, "pid": pid}
                    for name, pid in pids.items()
                    if name not in embedded_names
                ],
                "services": [
                    {"name": s.name, "url": s.url, "pid": pids.get(s.name), "named": False}
                    for s in self.services
                ]
                + [
                    {"name": name, "url": url, "pid": None, "named": True}
                    for name, url in named().items()
                ],
            }
        )

    async def _start(self) -> None:
        configured = settings()
        self.env = self._own_settings(configured)
        built = await _both(self._frontend(), self._start_services(configured))
        self.supervisor.start(
            self._mine(
                processes.web(self.options.port, configured.listen, built, self.instance.folder)
            ),
            *(self._mine(process) for process in processes.workers(self.options.workers)),
            self._mine(processes.collector()),
            self._mine(processes.clock()),
        )
        if self.options.demo:
            self.supervisor.start(self._mine(processes.demo()))
        await self._until_ready()

    def _own_settings(self, configured: Settings) -> dict[str, str]:
        """What every process of this instance is told, by environment."""
        env = {
            "TESTBENCH_DATA": str(self.instance.folder),
            "PORT": str(self.options.port),
            "SECRET_KEY": configured.secret_key or self.instance.secret("secret_key"),
        }
        if "public_url" not in configured.model_fields_set:
            env["PUBLIC_URL"] = self.url
        return env | (demo.settings_of(self.instance, configured) if self.options.demo else {})

    async def _start_services(self, configured: Settings) -> None:
        wanted: list[Service] = []
        if configured.database_url is None:
            wanted.append(await asyncio.to_thread(embedded.postgres, self.instance))
        if configured.redis_url is None:
            wanted.append(embedded.valkey(self.instance))
        await self._embed(*wanted)
        await self._prepare()
        if configured.mqtt_url is None:
            await self._embed(embedded.broker(self.instance))

    async def _embed(self, *services: Service) -> None:
        """Starts services and tells the processes after them where they are."""
        self.services += services
        self.env |= {service.variable: service.url for service in services}
        self.supervisor.start(*(self._mine(service.process) for service in services))
        await asyncio.gather(*(until_ready(service) for service in services))

    async def _prepare(self) -> None:
        """Migrations, the first user and the demo, in a process whose memory is given back."""
        with_demo = ("--demo",) if self.options.demo else ()
        process = Process("prepare", (*PYTHON, "testbench", "prepare", *with_demo))
        await self.supervisor.once(self._mine(process))

    async def _frontend(self) -> Path:
        if not frontend.is_built():
            print("Building the front end, which takes half a minute once …", flush=True)
            build = Process("frontend", (*PYTHON, "testbench", "frontend"))
            await self.supervisor.once(self._mine(build))
        return frontend.folder()

    def _mine(self, process: Process) -> Process:
        """The process with this instance's settings in its environment."""
        return replace(process, env=self.env | dict(process.env))

    async def _until_ready(self) -> None:
        """Says so once `/api/ready` answers 200; hints at `doctor` where that takes long."""
        clock = asyncio.get_running_loop().time
        hint = clock() + SLOW_START_S
        while not await asyncio.to_thread(_answers, f"{self.url}/api/ready"):
            if clock() > hint:
                hint = float("inf")
                print(
                    f"Not ready after {SLOW_START_S:.0f} s. What is missing: "
                    f"python -m testbench doctor --data {self.instance.folder}",
                    file=sys.stderr,
                    flush=True,
                )
            await asyncio.sleep(0.1)
        print(f"Testbench ready at {self.url}", flush=True)
        if (password := self.instance.to_tell("admin_password")) is not None:
            print(f"Log in as admin with the password {password}")
            print("It is shown this once; change it after the first login.", flush=True)


async def _both(first: Coroutine[Any, Any, T], second: Coroutine[Any, Any, None]) -> T:
    """Both at once; the first to fail ends the other. Returns what the first one gave."""
    tasks = asyncio.create_task(first), asyncio.create_task(second)
    try:
        return (await asyncio.gather(*tasks))[0]
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as response:  # noqa: S310 (our own address)
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False
