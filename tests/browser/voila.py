"""Dashboards by Voila: on the same Jupyter server as the notebooks, and on a server of Voila's own."""

import json
import os
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request

import psutil

from .kernels import ask_kernel
from .lab import notebook_of
from .page import Page
from .ports import free_port

START_SECONDS = 60

# as docs/hosts.md says to serve it (a test compares)
OPTIONS = (
    "--Voila.tornado_settings={'disable_check_xsrf': True}",
    "--MappingKernelManager.cull_idle_timeout=600",
    "--MappingKernelManager.cull_interval=60",
    "--MappingKernelManager.cull_connected=True",
)


class KernelOfAPage(Page):
    """A page whose kernel is asked past it: Voila's own pages may not ask anything."""

    def ask(self, code):
        """Evaluate an expression in this visitor's kernel; its value must be JSON."""
        return ask_kernel(self.server, self.kernel, code)

    def until_kernel(self, condition, timeout=60):
        """Wait until an expression in the kernel is true."""
        for _ in range(timeout * 4):
            if self.ask(f"bool({condition})"):
                return
            self.page.wait_for_timeout(250)
        raise AssertionError(f"{condition} is still false in the kernel after {timeout} s")


class Dashboard(KernelOfAPage):
    """One visitor's page. Voila runs the notebook from the first cell to the last for each, in a kernel of its own."""

    def __init__(self, server, context, name, cells=None, path=None):
        self.server, self.name = server, name
        self.file = server.root / name
        if path is not None:
            shutil.copy(path, self.file)
        else:
            self.file.write_text(json.dumps(notebook_of(cells)))
        super().__init__(context)

    def load(self):
        before = self._kernels()
        self.page.goto(f"{self.server.url}/voila/render/{self.name}", timeout=90_000)
        self.page.wait_for_selector(".jp-Cell, .jp-OutputArea", timeout=60_000, state="attached")
        self.kernel = next(iter(self._kernels() - before))

    def _kernels(self):
        return {kernel["id"] for kernel in self.server.ask("GET", "/api/kernels")}


class VoilaServer:
    """`voila` on one notebook, with the options that the documentation gives: what strangers are let in to."""

    def __init__(self, folder, notebook):
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = folder / "voila.log"
        self.root = folder / "served"
        self.root.mkdir()
        shutil.copy(notebook, self.root)
        self.connections = folder / "connections"
        self.connections.mkdir()
        command = [
            sys.executable, "-m", "voila", str(self.root / notebook.name), *OPTIONS, "--no-browser",
            "--Voila.ip=127.0.0.1", f"--port={self.port}", f"--Voila.connection_dir_root={self.connections}",
        ]  # fmt: skip
        environment = {
            **os.environ,
            "HOME": str(folder),
            "JUPYTER_CONFIG_DIR": str(folder / "config"),
            "JUPYTER_DATA_DIR": str(folder / "data"),
            "JUPYTER_RUNTIME_DIR": str(folder / "runtime"),
            "IPYTHONDIR": str(folder / "ipython"),
            "XDG_CACHE_HOME": str(folder / "cache"),
            "OMP_NUM_THREADS": "1",
            "PYTHONWARNINGS": "ignore",
        }
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command, cwd=self.root, env=environment, stdout=log, stderr=log, start_new_session=True
            )
        ends = time.monotonic() + START_SECONDS
        # whatever it answers: its page would begin a kernel
        while self.answer("/voila/files/none") is None:
            if self.process.poll() is not None or time.monotonic() > ends:
                self.stop()
                raise AssertionError(f"voila did not start\n{self.log.read_text()[-2000:]}")
            time.sleep(0.1)

    def answer(self, path):
        """The status of the answer to a visitor who asks for this path; None where nobody answers."""
        try:
            with urllib.request.urlopen(self.url + path, timeout=30) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return None

    @property
    def runtime(self):
        """Where the connection files of its kernels are."""
        return next(self.connections.glob("voila_*"))

    def kernels(self):
        """How many kernels run: processes, whatever the server thinks of them."""
        lines = [" ".join(child.cmdline()) for child in psutil.Process(self.process.pid).children()]
        return sum("ipykernel_launcher" in line for line in lines)

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


class Visitor(KernelOfAPage):
    """Somebody on the page of a `VoilaServer`, with a browser context of their own."""

    def __init__(self, server, context):
        self.server = server
        super().__init__(context)

    def load(self):
        # sets out and does not wait for the answer, so that several can be on their way at once
        self.page.evaluate("url => { setTimeout(() => { location.href = url }) }", self.server.url)

    @property
    def kernel(self):
        """The number of this visitor's kernel, as the page has it."""
        return self.page.evaluate("() => JSON.parse(document.getElementById('jupyter-config-data').text).kernelId")

    def leave(self):
        """Go elsewhere and close the tab: the page tells the server that it is left, on its way out."""
        # not by closing alone: the page's last word would be caught by our own refusal of strangers, and die there
        self.page.goto("about:blank")
        self.page.close()
