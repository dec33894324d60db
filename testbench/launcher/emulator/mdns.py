"""What firmware 2.15 announces of itself: `_axeos._sub._http._tcp` with its board and version."""

from collections.abc import Sequence
from ipaddress import ip_address

from zeroconf import IPVersion, ServiceInfo
from zeroconf.asyncio import AsyncZeroconf

from testbench.launcher.emulator.server import DeviceServer

SERVICE = "_http._tcp.local."
SUBTYPE = f"_axeos._sub.{SERVICE}"


class Announcer:
    """Answers mDNS for those devices whose firmware does."""

    def __init__(self, servers: Sequence[DeviceServer]) -> None:
        self._servers = [server for server in servers if server.device.firmware.announces]
        self._zeroconf: AsyncZeroconf | None = None

    async def start(self) -> None:
        """Announce; OSError where there is no multicast."""
        if not self._servers:
            return
        hosts = sorted({server.host for server in self._servers})
        self._zeroconf = AsyncZeroconf(interfaces=hosts, ip_version=IPVersion.V4Only)
        for server in self._servers:
            await self._zeroconf.async_register_service(
                _service(server), cooperating_responders=True
            )

    async def stop(self) -> None:
        """Say goodbye."""
        if self._zeroconf is not None:
            await self._zeroconf.async_unregister_all_services()
            await self._zeroconf.async_close()


def _service(server: DeviceServer) -> ServiceInfo:
    device = server.device
    name = device.settings["hostname"]
    return ServiceInfo(
        SUBTYPE,
        f"{name}.{SERVICE}",
        addresses=[ip_address(server.host).packed],
        port=server.port,
        server=f"{name}.local.",
        properties={
            "board": "601",
            "family": "Gamma",
            "asic": device.firmware.asic,
            "asic_count": "1",
            "fw_version": device.firmware.shown_version,
        },
    )
