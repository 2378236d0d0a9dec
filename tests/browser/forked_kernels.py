"""Kernels that begin with their imports done: a process with torch and peek_widget loaded forks one for each notebook.

A kernel by itself takes some 4 s of a core until its explorer draws, nearly all of it spent on importing; a forked one
takes a tenth of that. It is the same ipykernel with the same arguments, and it lives, is interrupted and dies as one
that was started afresh: `forked_kernel_launcher.py`, which the Jupyter server starts in its place, stands for it.

Run as a script: ``python forked_kernels.py ADDRESS`` listens at the Unix socket ADDRESS until its input ends.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import selectors
import signal
import socket
import sys
import threading
import warnings
from pathlib import Path

SUPPORTED = sys.platform == "linux"
"""Elsewhere a fork after such imports is not safe, and kernels are started as they usually are."""

LAUNCHER = Path(__file__).with_name("forked_kernel_launcher.py")

# What a notebook with an explorer imports until its first picture.
IMPORTED = (
    "ipykernel.kernelapp",
    "ipykernel.ipkernel",
    "ipykernel.zmqshell",
    "ipykernel.subshell_manager",
    "IPython.core.completer",
    "torchvision",
    "ipywidgets",
    "peek_widget.explorer",
    "peek_widget.zoo",
)


def listen(address: str) -> None:
    """Fork a kernel for each launcher that asks, until the standard input ends."""
    # no thread of this process would be in its forks
    os.environ["JPY_PARENT_PID"] = str(os.getpid())
    # not this folder but what a kernel has
    sys.path.pop(0)
    for name in IMPORTED:
        # a module that this version does not have is none to load in advance
        with contextlib.suppress(ModuleNotFoundError):
            importlib.import_module(name)
    assert threading.active_count() == 1, threading.enumerate()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX) as listener, selectors.DefaultSelector() as ready:
        listener.bind(address)
        listener.listen(64)
        ready.register(listener, selectors.EVENT_READ)
        ready.register(sys.stdin, selectors.EVENT_READ)
        while True:
            for key, _ in ready.select():
                if key.fileobj is sys.stdin:
                    return
                connection, _ = listener.accept()
                request, handles = receive(connection)
                if os.fork() == 0:
                    listener.close()
                    become_kernel(connection, request, handles)
                for handle in handles:
                    os.close(handle)
                connection.close()


def receive(connection: socket.socket) -> tuple[dict, list[int]]:
    """Read a launcher's request: its arguments, environment and folder, and its standard output and error."""
    text, handles, _, _ = socket.recv_fds(connection, 1 << 20, 2)
    while not text.endswith(b"\n"):
        text += connection.recv(1 << 20)
    return json.loads(text), list(handles)


def become_kernel(connection: socket.socket, request: dict, handles: list[int]) -> None:
    """Be the kernel that the launcher was started as; never returns."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for number, handle in enumerate(handles, start=1):
        os.dup2(handle, number)
        os.close(handle)
    os.environ.clear()
    # its parent is the process that forked it: it ends with that one
    os.environ.update(request["environment"], JPY_PARENT_PID=str(os.getppid()))
    os.chdir(request["folder"])
    sys.argv = ["ipykernel_launcher", *request["arguments"]]
    warnings.simplefilter("ignore")
    connection.sendall(f"{os.getpid()}\n".encode())

    def end_with_launcher() -> None:
        # nothing is ever sent: the launcher has been killed
        connection.recv(1)
        os._exit(1)

    threading.Thread(target=end_with_launcher, name="end with the launcher", daemon=True).start()
    try:
        from ipykernel import kernelapp

        kernelapp.launch_new_instance()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)


if __name__ == "__main__":
    listen(sys.argv[1])
