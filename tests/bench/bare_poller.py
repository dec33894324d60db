"""The least a poller can be: asks each address in its turn and throws the answer away.

Run as a program by the bench: a file of addresses, the interval and the time in seconds. Prints
the polls it made and the share of a core that they took.
"""

import asyncio
import sys
import time
from pathlib import Path

from testbench.adapters.drivers.axeos import Axeos
from testbench.domain.errors import BenchError


async def main(addresses: list[str], interval_s: float, seconds: float) -> None:
    """Print `polls` and `cpu`."""
    end = time.monotonic() + seconds
    counts = await asyncio.gather(
        *(
            _poll(Axeos(address), number / len(addresses) * interval_s, interval_s, end)
            for number, address in enumerate(addresses)
        )
    )
    print(sum(counts), round(time.process_time() / seconds, 3), flush=True)


async def _poll(driver: Axeos, phase_s: float, interval_s: float, end: float) -> int:
    count = 0
    due = time.monotonic() + phase_s
    while due < end:
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        try:
            await driver.info()
        except BenchError:
            count -= 1
        count += 1
        due += interval_s
    return count


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]).read_text().split(), float(sys.argv[2]), float(sys.argv[3])))
