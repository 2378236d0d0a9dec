"""A notebook in a real JupyterLab, driven through the page's own application object."""

import json
import shutil

from .kernels import ask_kernel
from .page import Page

PANEL = """path => {
  const widgets = [...window.jupyterapp.shell.widgets('main')];
  return widgets.find(w => w.context && w.context.path === path);
}"""


# Closes every document, unasked and unsaved, and ends its kernel; says whether the page is as good as new.
CLEAR = """async () => {
  const { jupyterapp } = window;
  if (!jupyterapp?.shell) return false;
  for (const panel of [...jupyterapp.shell.widgets('main')].filter(widget => widget.context)) {
    await panel.context.sessionContext.shutdown();
    panel.context.model.dirty = false;
    panel.close();
    for (let waited = 0; !panel.isDisposed && waited < 100; waited++) await new Promise(done => setTimeout(done, 20));
    if (!panel.isDisposed) return false;
  }
  return document.querySelector('.jp-Dialog, .peek-root') === null;
}"""


class Notebook(Page):
    """One page of JupyterLab with one notebook.

    JupyterLab itself takes longer to load than most tests to run: a test may take the page that another one has left.
    """

    reusable = True

    def __init__(self, server, context, name, cells=None, path=None, kernel="python3", left=None):
        self.server, self.name, self._left = server, name, left
        self.file = server.root / name
        if path is not None:
            shutil.copy(path, self.file)
        else:
            self.file.write_text(json.dumps(notebook_of(cells, kernel)))
        self.loads = 0
        super().__init__(context)

    # -- the page

    def open(self):
        if self._left is None:
            super().open()
            return
        self.take(self._left)
        self.page.evaluate(
            "path => { window.jupyterapp.commands.execute('docmanager:open', { path }) }",
            self.name,
        )
        self.until_ready()

    def clear(self):
        """Close the notebook; whether the page can be another test's."""
        if not self.reusable or self.page.is_closed() or "/lab/" not in self.page.url:
            return False
        return self.page.evaluate(CLEAR)

    def address(self):
        # a fresh workspace every time, or Lab would restore an earlier test's tabs
        return f"/lab/workspaces/{self.name.removesuffix('.ipynb')}-{self.loads}/tree/{self.name}"

    def load(self):
        self.loads += 1
        self.page.goto(self.server.url + self.address())
        self.until_ready()

    def until_ready(self):
        """Wait until the notebook is shown and its kernel answers."""
        self.page.wait_for_function(
            f"""path => {{
              const app = window.jupyterapp;
              if (!app || !app.shell) return false;
              const panel = ({PANEL})(path);
              const session = panel && panel.context.isReady && panel.sessionContext;
              return session && session.isReady && session.session?.kernel?.status === 'idle';
            }}""",
            arg=self.name,
            timeout=60_000,
        )

    def save(self):
        """Save, and give the file's size in bytes."""
        self.page.evaluate(f"async path => ({PANEL})(path).context.save()", self.name)
        return self.file.stat().st_size

    # -- its cells

    def run_all(self, wait=True):
        self.page.evaluate("() => { window.jupyterapp.commands.execute('notebook:run-all-cells') }")
        if wait:
            self.settled()

    def run_cell(self, index, wait=True):
        self.page.evaluate(
            f"""([path, index]) => {{
              const panel = ({PANEL})(path);
              panel.content.activeCellIndex = index;
              panel.content.deselectAll();
              window.jupyterapp.commands.execute('notebook:run-cell');
            }}""",
            [self.name, index],
        )
        if wait:
            self.settled()

    def settled(self):
        """Wait until no cell runs or waits to run."""
        # 'run all' is asynchronous: it must be seen to have begun before it can be seen to have ended
        self.page.wait_for_function(
            f"""path => {{
              const panel = ({PANEL})(path);
              const cells = panel.content.widgets.filter(c => c.model.type === 'code');
              const prompt = c => c.promptNode?.textContent ?? '';
              const busy = c => c.model.executionState === 'running' || prompt(c).includes('*');
              return cells.some(c => c.model.executionCount !== null) && !cells.some(busy)
                && panel.sessionContext.session.kernel.status === 'idle';
            }}""",
            arg=self.name,
            timeout=120_000,
        )

    def until_busy(self):
        """Wait until a cell runs."""
        self.page.wait_for_function("() => document.body.innerText.includes('[*]')", timeout=60_000)

    def interrupt(self):
        """What the stop button of the notebook does."""
        self.page.evaluate(f"path => ({PANEL})(path).sessionContext.session.kernel.interrupt()", self.name)

    def ask(self, code):
        """Evaluate an expression in the kernel, beside the cells; its value must be JSON."""
        text = self.page.evaluate(
            f"""async ([path, code]) => {{
              const kernel = ({PANEL})(path).sessionContext.session.kernel;
              let text = '';
              const future = kernel.requestExecute({{ code, store_history: false }});
              future.onIOPub = message => {{
                // What the worker logs meanwhile goes to stderr.
                const {{ header, content }} = message;
                if (header.msg_type === 'stream' && content.name === 'stdout') text += content.text;
                if (message.header.msg_type === 'error') text += message.content.traceback.join('\\n');
              }};
              await future.done;
              return text;
            }}""",
            [self.name, f"import json as _j; print('\\x02' + _j.dumps({code}))"],
        )
        assert "\x02" in text, text
        return json.loads(text.split("\x02")[1])

    @property
    def kernel(self):
        """The kernel's number on the server."""
        return self.page.evaluate(f"path => ({PANEL})(path).sessionContext.session.kernel.id", self.name)

    def ask_beside(self, code, kernel):
        """As `ask`, and past the page, which may be closed by now."""
        return ask_kernel(self.server, kernel, code)

    def busy(self):
        """Whether a cell runs."""
        return any("*" in prompt for prompt in self.page.locator(".jp-InputPrompt").all_text_contents())


class Notebook7(Notebook):
    """The same in Notebook 7, which is one page for one notebook and has the same application object."""

    reusable = False

    def address(self):
        return f"/notebooks/{self.name}"


def notebook_of(cells, kernel="python3"):
    return {
        "cells": [
            {
                "cell_type": "code",
                "id": f"cell{index}",
                "metadata": {},
                "execution_count": None,
                "outputs": [],
                "source": source,
            }
            for index, source in enumerate(cells)
        ],
        "metadata": {"kernelspec": {"name": kernel, "display_name": kernel, "language": "python"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
