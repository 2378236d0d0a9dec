"""Writing files atomically."""

from __future__ import annotations

import os
import threading
from pathlib import Path

__all__ = ["write_atomic"]


def write_atomic(path: str | os.PathLike[str], data: bytes) -> None:
    """Write a file atomically: a reader sees the old or the complete new one, even if the process is killed.

    Args:
        path: path of the file; the bytes are first written to a ``.part`` file next to it.
        data: content of the file.

    Raises:
        OSError: if it can't be written; the old file is then unchanged.
    """
    target = Path(path)
    # The name contains process and thread, so that two writers of the same file do not share a part file.
    part = target.with_name(f"{target.name}.{os.getpid()}-{threading.get_ident():x}.part")
    try:
        part.write_bytes(data)
        part.replace(target)
    except OSError:
        part.unlink(missing_ok=True)
        raise
