"""A notebook in a real JupyterLab, driven through the page's own application object."""

import json
import shutil

PANEL = """path => {
  const widgets = [...window.jupyterapp.shell.widgets('main')];
  return widgets.find(w => w.context && w.context.path === path);
}"""


class Notebook:
    """One page with one notebook."""

    def __init__(self, server, context, name, cells=None, path=None):
        self.server, self.context, self.name = server, context, name
        self.file = server.root / name
        if path is not None:
            shutil.copy(path, self.file)
        else:
            self.file.write_text(json.dumps(notebook_of(cells)))
        self.loads = 0
        self._errors = []
        self.open()

    # -- the page

    def open(self):
        self.page = self.context.new_page()
        self.page.on("pageerror", lambda error: self._errors.append(str(error.stack or error)))
        self.load()

    def load(self):
        """Load the page; every time in a fresh workspace, or Lab would restore an earlier test's tabs."""
        self.loads += 1
        workspace = f"{self.name.removesuffix('.ipynb')}-{self.loads}"
        self.page.goto(f"{self.server.url}/lab/workspaces/{workspace}/tree/{self.name}")
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

    @property
    def errors(self):
        """Errors of the widget, told from the page's own by where they came from."""
        return [error for error in self._errors if "blob:" in error]

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

    def until_kernel(self, condition, timeout=15):
        """Wait until an expression in the kernel is true: the page shows a control's new value before Python has it."""
        for _ in range(timeout * 10):
            if self.ask(f"bool({condition})"):
                return
            self.page.wait_for_timeout(100)
        raise AssertionError(f"{condition} is still false in the kernel after {timeout} s")

    # -- the widget

    @property
    def root(self):
        return self.page.locator(".peek-root").first

    def peek(self):
        """What the widget says about itself."""
        return self.root.evaluate("root => ({...root.dataset})")

    def until(self, condition, timeout=30):
        """Wait until a JavaScript condition on `d`, what the root says about itself, holds; give `d`."""
        handle = self.page.wait_for_function(
            f"""() => {{
              const root = document.querySelector('.peek-root');
              if (!root) return false;
              const d = {{}};
              for (const [key, value] of Object.entries(root.dataset)) {{
                d[key.replace(/^peek(.)/, (_, c) => c.toLowerCase())] = isNaN(value) ? value : Number(value);
              }}
              return ({condition}) ? d : false;
            }}""",
            timeout=timeout * 1000,
        )
        return handle.json_value()

    def pixels(self):
        """The picture on the canvas, as one number for each pixel and channel."""
        return self.root.locator("canvas.peek-canvas, .peek-picture canvas, canvas").first.evaluate(
            """canvas => {
              const context = canvas.getContext('2d', { willReadFrequently: true });
              return [...context.getImageData(0, 0, canvas.width, canvas.height).data];
            }"""
        )


def notebook_of(cells):
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
        "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
