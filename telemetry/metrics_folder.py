"""Whether the folder for the metrics of several processes can be used, decided before anything counts.

The metrics library maps files of that folder into memory. On a disk without room a write into the map ends the process
by a signal that no handler survives, and a folder that cannot be written stops the start. Metrics are not worth either:
without room each process counts alone, and a line says so. The library looks at the variable when it is first imported,
so this is asked by the settings. Keep the folder on a file system of its own (the image has `/run/loa` for it).
"""

import os
import sys
import tempfile
from collections.abc import MutableMapping
from pathlib import Path
from typing import Final

FOLDER_VARIABLE: Final = "PROMETHEUS_MULTIPROC_DIR"
ROOM_BYTES: Final = 8 * 1024 * 1024  # some ten files of a process, each mapped at up to a megabyte


def give_up_without_room(environment: MutableMapping[str, str]) -> bool:
    """Take the variable away when its folder cannot be used; says whether it was taken away."""
    named = environment.get(FOLDER_VARIABLE)
    if not named or _has_room(Path(named)):
        return False
    del environment[FOLDER_VARIABLE]
    try:
        sys.stderr.write(f"{FOLDER_VARIABLE}: no room in {named}; each process counts its metrics alone.\n")
    except OSError:
        return True  # standard error may lie on the same full disk
    return True


def _has_room(folder: Path) -> bool:
    """Whether a file of that size can really be written there; what is left free on paper may be reserved."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as probe:
            os.posix_fallocate(probe.fileno(), 0, ROOM_BYTES)
    except OSError:
        return False
    return True
