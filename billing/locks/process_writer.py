"""One writer per process, made at first use; a forked child makes its own."""

import atexit
import os
import threading

from billing.locks.writer import StreamWriter

_lock = threading.Lock()
_writers: dict[int, StreamWriter] = {}


def process_writer() -> StreamWriter:
    """This process's StreamWriter. It gives its stream back when the process ends in an orderly way."""
    with _lock:
        writer = _writers.get(os.getpid())
        if writer is None:
            # A parent's writer stays the parent's: the child forgets it and never releases it.
            _writers.clear()
            writer = _writers[os.getpid()] = StreamWriter()
            atexit.register(_release, writer, os.getpid())
        return writer


def _release(writer: StreamWriter, owner_process_id: int) -> None:
    if os.getpid() == owner_process_id:
        writer.release()
