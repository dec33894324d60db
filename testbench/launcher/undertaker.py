"""Ends an instance's processes when its launcher is killed: it waits for the end of a pipe.

Run as `python -m testbench.launcher.undertaker FOLDER`, with the pipe as standard input. It also
holds the instance's lock, so that no new launcher starts before the old processes are gone.
"""

import os
import signal
import sys
from pathlib import Path

from testbench.launcher.journal import Journal


def main(folder: Path) -> None:
    """Returns when the launcher is gone and so is all it had started."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    while os.read(sys.stdin.fileno(), 1):
        pass
    Journal(folder).bury()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
