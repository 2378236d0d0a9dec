"""An app in marimo, by a server of its own."""

import sys
import urllib.request

from .page import Page
from .serving import Served


class MarimoServer(Served):
    """`marimo run` on one file."""

    def __init__(self, folder, app):
        super().__init__(folder)
        command = [
            sys.executable,
            "-m",
            "marimo",
            "--yes",
            "--quiet",
            "run",
            str(app),
            "--headless",
            "--no-token",
            "--host",
            "127.0.0.1",
            "--port",
            str(self.port),
        ]
        environment = {"XDG_CONFIG_HOME": str(folder / "config"), "XDG_STATE_HOME": str(folder / "state")}
        self.start(command, folder, environment, self._answers)

    def _answers(self):
        try:
            with urllib.request.urlopen(f"{self.url}/health", timeout=5):
                return True
        except OSError:
            return False


class App(Page):
    """One visitor's page of a marimo app. What Python has is seen where the app shows it."""

    def __init__(self, server, context):
        self.server = server
        super().__init__(context)

    def load(self):
        self.page.goto(self.server.url)
