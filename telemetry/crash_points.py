"""Named places where a test may kill the process, to prove that a crash there loses nothing.

Active only where `LOA["CRASH_POINTS"]` names one, which production settings refuse.
"""

import os
import signal

from telemetry.configuration import loa


def crash_point(name: str) -> None:
    """Kill this process without any clean-up when a test asked for it here."""
    if name in loa("CRASH_POINTS"):
        os.kill(os.getpid(), signal.SIGKILL)
