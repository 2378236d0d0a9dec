"""An app in marimo, by a server of its own."""

import os
import subprocess
import sys
import time
import urllib.request

from .page import Page
from .ports import free_port

START_SECONDS = 60


class MarimoServer:
    """`marimo run` on one file."""

    def __init__(self, folder, app):
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = folder / "marimo.log"
        command = [
            sys.executable, "-m", "marimo", "--yes", "--quiet", "run", str(app),
            "--headless", "--no-token", "--host", "127.0.0.1", "--port", str(self.port),
        ]  # fmt: skip
        environment = {
            **os.environ,
            "HOME": str(folder),
            "XDG_CONFIG_HOME": str(folder / "config"),
            "XDG_CACHE_HOME": str(folder / "cache"),
            "XDG_STATE_HOME": str(folder / "state"),
            "OMP_NUM_THREADS": "1",
        }
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command, cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True
            )
        ends = time.monotonic() + START_SECONDS
        while True:
            try:
                with urllib.request.urlopen(f"{self.url}/health", timeout=5):
                    return
            except OSError as error:
                if self.process.poll() is not None or time.monotonic() > ends:
                    self.stop()
                    raise AssertionError(f"marimo did not start: {error}\n{self.log.read_text()[-2000:]}") from error
                time.sleep(0.1)

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


class App(Page):
    """One visitor's page of a marimo app. What Python has is seen where the app shows it."""

    def __init__(self, server, context):
        self.server = server
        super().__init__(context)

    def load(self):
        self.page.goto(self.server.url)
