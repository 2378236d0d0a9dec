"""Files that are there whole or not at all."""

from __future__ import annotations

import os
import threading
from pathlib import Path

__all__ = ["write_atomic"]


def write_atomic(path: str | os.PathLike[str], data: bytes) -> None:
    """Write a file such that a reader sees the old one or the whole new one, also when the process is killed.

    Args:
        path: path of the file; a ``.part`` of this process and thread beside it is used meanwhile.
        data: its bytes.

    Raises:
        OSError: if it can't be written; the old file is then untouched.
    """
    target = Path(path)
    # A name of its own, so that two processes that write the same file do not write into each other's part.
    part = target.with_name(f"{target.name}.{os.getpid()}-{threading.get_ident():x}.part")
    try:
        part.write_bytes(data)
        part.replace(target)
    except OSError:
        part.unlink(missing_ok=True)
        raise
