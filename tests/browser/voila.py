"""Dashboards by Voila: on the same Jupyter server as the notebooks, and on a server of Voila's own."""

import json
import shutil
import sys
import urllib.error
import urllib.request

import psutil

from .kernels import ask_kernel
from .lab import notebook_of
from .page import Page
from .serving import Served, jupyters_own, write_kernelspec

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

    def choose_network(self, label):
        """Choose another network of the dashboard, and wait until its explorer stands in the old one's place."""
        was = self.root.locator(".peek-footer").inner_text()
        self.page.get_by_label("Network", exact=True).select_option(label=label)
        self.page.wait_for_function(
            "was => document.querySelectorAll('.peek-root').length === 1"
            " && ![undefined, was].includes(document.querySelector('.peek-footer')?.innerText)",
            arg=was,
            timeout=120_000,
        )


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


class VoilaServer(Served):
    """`voila` on one notebook, with the options that the documentation gives: what strangers are let in to."""

    def __init__(self, folder, notebook, fork_kernels=None):
        super().__init__(folder)
        self.root = folder / "served"
        self.root.mkdir()
        if fork_kernels:
            write_kernelspec(folder / "share", "python3", fork_kernels.command)
        shutil.copy(notebook, self.root)
        self.connections = folder / "connections"
        self.connections.mkdir()
        command = [
            sys.executable,
            "-m",
            "voila",
            str(self.root / notebook.name),
            *OPTIONS,
            "--no-browser",
            "--Voila.ip=127.0.0.1",
            f"--port={self.port}",
            f"--Voila.connection_dir_root={self.connections}",
        ]
        # whatever it answers: its page would begin a kernel
        environment = {**jupyters_own(folder), "JUPYTER_PATH": str(folder / "share")}
        self.start(command, self.root, environment, lambda: self.answer("/voila/files/none") is not None)

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
        return sum(map(is_kernel, psutil.Process(self.process.pid).children()))


def is_kernel(process):
    try:
        # ipykernel's, or forked_kernel_launcher.py
        return any("kernel_launcher" in word for word in process.cmdline())
    except psutil.NoSuchProcess:
        # it ended between being listed and being asked (a zombie counts as that)
        return False


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
