"""A test's own server: a process in a folder and at a port of its own."""

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

from . import forked_kernels

START_SECONDS = 60
REPOSITORY = Path(__file__).resolve().parents[2]


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def jupyters_own(folder):
    """Environment variables that keep a Jupyter server and its kernels within a folder."""
    return {
        "JUPYTER_CONFIG_DIR": str(folder / "config"),
        "JUPYTER_DATA_DIR": str(folder / "data"),
        "JUPYTER_RUNTIME_DIR": str(folder / "runtime"),
        "IPYTHONDIR": str(folder / "ipython"),
        "PYTHONWARNINGS": "ignore",
    }


def surroundings(folder, more):
    """Environment variables of a process of the tests: what it writes stays in a folder, and one thread is enough."""
    return {
        **os.environ,
        "HOME": str(folder),
        "XDG_CACHE_HOME": str(folder / "cache"),
        "OMP_NUM_THREADS": "1",
        # the checkout that is tested, whichever one is installed
        "PYTHONPATH": os.pathsep.join(filter(None, [str(REPOSITORY), os.environ.get("PYTHONPATH")])),
        **more,
    }


def write_kernelspec(share, name, command, environment=None):
    """Have the kernels of that name started by `command`, where `share` is on Jupyter's path."""
    folder = share / "kernels" / name
    folder.mkdir(parents=True, exist_ok=True)
    argv = [*command, "-f", "{connection_file}"]
    spec = {"argv": argv, "env": environment or {}, "display_name": name, "language": "python"}
    (folder / "kernel.json").write_text(json.dumps(spec))


class ForkServer:
    """The process that kernels are forked from; `command` starts one of its kernels, less the arguments."""

    def __init__(self, folder, environment):
        self.log = folder / "fork-server.log"
        self.address = folder / "fork-server"
        self.command = [sys.executable, "-S", "-E", str(forked_kernels.LAUNCHER), str(self.address)]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, forked_kernels.__file__, self.address],
                env=surroundings(folder, environment),
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def until_ready(self):
        """Wait until kernels can be forked."""
        ends = time.monotonic() + START_SECONDS
        while not self.address.exists():
            if self.process.poll() is not None or time.monotonic() > ends:
                self.stop()
                raise AssertionError(f"no kernels can be forked\n{self.log.read_text()[-2000:]}")
            time.sleep(0.1)

    def stop(self):
        self.process.stdin.close()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Served:
    """A server at `url`; its words are in `log`."""

    def __init__(self, folder):
        self.folder = folder
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = folder / "server.log"

    def start(self, command, cwd, environment, answers):
        """Start it, and wait until `answers()` is true."""
        environment = surroundings(self.folder, environment)
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command, cwd=cwd, env=environment, stdout=log, stderr=log, start_new_session=True
            )
        ends = time.monotonic() + START_SECONDS
        while not answers():
            if self.process.poll() is not None or time.monotonic() > ends:
                self.stop()
                raise AssertionError(f"{command[2]} did not start\n{self.log.read_text()[-2000:]}")
            time.sleep(0.1)

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
