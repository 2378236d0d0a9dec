"""A dashboard by Voila, served by the same Jupyter server as the notebooks."""

import json
import shutil

from .kernels import ask_kernel
from .lab import notebook_of
from .page import Page


class Dashboard(Page):
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

    def ask(self, code):
        """Evaluate an expression in this visitor's kernel; its value must be JSON."""
        return ask_kernel(self.server, self.kernel, code)

    def until_kernel(self, condition, timeout=15):
        """Wait until an expression in the kernel is true."""
        for _ in range(timeout * 4):
            if self.ask(f"bool({condition})"):
                return
            self.page.wait_for_timeout(250)
        raise AssertionError(f"{condition} is still false in the kernel after {timeout} s")
