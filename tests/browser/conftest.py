"""A real JupyterLab with a real kernel, and a real Chromium that may talk to nothing else."""

import contextlib
import itertools
import json
import os
import re
import shutil
import sys
import urllib.request
from pathlib import Path

import pytest
from playwright.sync_api import Error as PlaywrightError
from playwright.sync_api import expect

from . import forked_kernels
from .lab import Notebook, Notebook7
from .marimo import App, MarimoServer
from .serving import REPOSITORY, ForkServer, Served, jupyters_own, write_kernelspec
from .voila import Dashboard, Visitor, VoilaServer

# ends a test that hangs, and is no measure of speed: a loaded machine must pass too
expect.set_options(timeout=30_000)

ELSEWHERE = re.compile(r"^(?!http://127\.0\.0\.1|ws://127\.0\.0\.1|data:|blob:)")


def pytest_collection_modifyitems(items):
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.browser)


def chromium_path():
    """The browser to use: PEEK_CHROMIUM, one on the PATH, or None for Playwright's own."""
    told = os.environ.get("PEEK_CHROMIUM")
    if told:
        return told
    names = ("chromium", "chromium-browser", "google-chrome")
    return next((path for path in map(shutil.which, names) if path), None)


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args):
    # /dev/shm is small in containers, and root cannot use Chromium's sandbox
    # a camera that is none, for whoever is allowed to use it
    camera = "--use-fake-device-for-media-stream"
    flags = ["--disable-dev-shm-usage", "--no-first-run", "--disable-background-networking", camera]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        flags.append("--no-sandbox")
    given = {**browser_type_launch_args, "headless": True, "args": flags}
    path = chromium_path()
    return {**given, "executable_path": path} if path else given


@pytest.fixture(scope="session")
def chromium(browser_type, browser_type_launch_args):
    try:
        browser = browser_type.launch(**browser_type_launch_args)
    except Exception as error:
        # never skipped: a suite that is green without its browser says nothing
        pytest.fail(
            "These tests need a Chromium, and none could be started. Install one (`apt install chromium`, or "
            f"`playwright install chromium`), or name one with PEEK_CHROMIUM. {str(error)[:400]}",
            pytrace=False,
        )
    yield browser
    browser.close()


@pytest.fixture(scope="session")
def refused():
    return []


@pytest.fixture
def strangers(refused):
    """Every address outside this machine that a page of this test asked for."""
    refused.clear()
    return refused


@pytest.fixture(scope="session")
def browser_context(chromium, refused):
    # one for the whole run: its cache halves the time of every later page
    context = new_context(chromium, refused)
    yield context
    context.close()


def new_context(chromium, refused):
    """A browser of somebody's own, as good as: cookies, cache and storage; nothing outside this machine answers."""
    context = chromium.new_context(viewport={"width": 1400, "height": 1000})

    def refuse(route):
        refused.append(route.request.url)
        route.abort()

    context.route(ELSEWHERE, refuse)
    return context


KERNEL = [sys.executable, "-m", "ipykernel_launcher"]


class Server(Served):
    """A jupyter-lab of the test's own, in a folder of the test's own."""

    def __init__(self, folder):
        super().__init__(folder)
        self.root = folder / "notebooks"
        self.root.mkdir()
        self.runtime = folder / "runtime"
        self.share = folder / "share"
        self.settings = folder / "settings"
        self.set("@jupyterlab/apputils-extension/notification", {"fetchNews": "false", "checkForUpdates": False})
        self.save_state(True)
        # it would start Node at each page that is loaded, to see whether the page should be built anew
        self.configure("labconfig/page_config", {"buildCheck": False, "buildAvailable": False})
        # it would ask npm where the language servers are that it never starts
        self.configure("jupyter_server_config", {"ServerApp": {"jpserver_extensions": {"jupyter_lsp": False}}})
        command = [
            sys.executable,
            "-m",
            "jupyterlab",
            "--no-browser",
            "--ip=127.0.0.1",
            f"--port={self.port}",
            "--ServerApp.port_retries=0",
            "--IdentityProvider.token=",
            "--ServerApp.disable_check_xsrf=True",
            f"--ServerApp.root_dir={self.root}",
            "--ServerApp.terminals_enabled=False",
            "--LabApp.expose_app_in_browser=True",
            "--JupyterNotebookApp.expose_app_in_browser=True",
        ]
        if hasattr(os, "geteuid") and os.geteuid() == 0:
            command.append("--allow-root")
        environment = {
            **jupyters_own(folder),
            "JUPYTER_PATH": str(self.share),
            "JUPYTERLAB_SETTINGS_DIR": str(self.settings),
            "JUPYTERLAB_WORKSPACES_DIR": str(folder / "workspaces"),
        }
        self.write_kernelspec("fresh", KERNEL, {})
        self.fork_kernels = ForkServer(folder, environment) if forked_kernels.SUPPORTED else None
        if self.fork_kernels:
            self.write_kernelspec("python3", self.fork_kernels.command, {})
        self.start(command, self.root, environment, self._answers)
        if self.fork_kernels:
            self.fork_kernels.until_ready()

    def stop(self):
        super().stop()
        if self.fork_kernels:
            self.fork_kernels.stop()

    def _answers(self):
        try:
            self.ask("GET", "/api/status")
        except OSError:
            return False
        return True

    def configure(self, name, values):
        """A file of configuration, for the server as it starts."""
        path = self.folder / "config" / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values))

    def set(self, plugin, values):
        """Settings of JupyterLab, for pages opened from now on."""
        path = self.settings / f"{plugin}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values))

    def save_state(self, on):
        """Whether a saved notebook holds its widgets' state.

        The default of JupyterLab 4 is off; on, as the tests have it, is the harder case for what a notebook weighs.
        """
        self.set("@jupyter-widgets/jupyterlab-manager/plugin", {"saveState": on})

    def add_kernel(self, name, path):
        """Add a kernel by the same Python, started afresh, with the packages in `path` before its own."""
        path = os.pathsep.join([str(path), str(REPOSITORY)])
        self.write_kernelspec(name, KERNEL, {"PYTHONPATH": path})

    def write_kernelspec(self, name, command, environment):
        """Have the kernels of that name started by `command`."""
        write_kernelspec(self.share, name, command, environment)

    def ask(self, method, path):
        request = urllib.request.Request(self.url + path, method=method)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.loads(answer.read() or b"null")

    def end_kernels(self):
        for session in self.ask("GET", "/api/sessions"):
            self.ask("DELETE", f"/api/sessions/{session['id']}")
        for kernel in self.ask("GET", "/api/kernels"):
            self.ask("DELETE", f"/api/kernels/{kernel['id']}")


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    server = Server(tmp_path_factory.mktemp("lab"))
    yield server
    server.stop()


MOST_LEFT, MOST_USES = 2, 20
"""Pages of JupyterLab that wait for the next test, and the tests that have one before it is closed."""


@pytest.fixture(scope="session")
def left_pages():
    """Pages of JupyterLab that a test has left as good as new, each with the number of tests that had it."""
    return []


@pytest.fixture
def own_page(request):
    """Whether this test must have a page to itself: one that it changes, or whose loading it looks at."""
    return "strangers" in request.fixturenames or request.node.get_closest_marker("own_page") is not None


@pytest.fixture
def pages(server, request, left_pages, own_page):
    """`pages(made)` looks after a page until the test ends: a screenshot if it failed, and its errors."""
    opened = []

    def keep(page, uses=0):
        opened.append((page, uses))
        return page

    keep.opened = opened
    yield keep
    failed = getattr(request.node, "failed", False)
    for number, (each, uses) in enumerate(opened):
        if failed and not each.page.is_closed():
            folder = Path("test-results")
            folder.mkdir(exist_ok=True)
            # a page that hangs has none to give, and must not hide why the test failed
            with contextlib.suppress(PlaywrightError):
                each.page.screenshot(path=folder / f"{short_name(request)}-{number}.png")
        another = not (failed or own_page) and uses + 1 < MOST_USES and len(left_pages) < MOST_LEFT
        if another and each.clear():
            each.leave()
            left_pages.append((each.page, uses + 1))
        else:
            each.page.close()
        if not failed:
            assert each.errors == [], "the widget raised in the page"
    # a kernel that goes on streaming slows the next test
    server.end_kernels()


numbers = itertools.count()


def short_name(request):
    return re.sub(r"[^a-z0-9]+", "-", request.node.name.lower()).strip("-")


@pytest.fixture
def notebook(server, browser_context, request, pages, left_pages, own_page):
    """`notebook(cells)` opens a page with a fresh notebook; `notebook(path=...)` with a copy of that one."""

    def open_notebook(cells=None, path=None, host=Notebook, **more):
        # a test that is run again must not find its kernel or its workspace
        name = f"{short_name(request)}-{next(numbers)}.ipynb"
        # a page knows the kernels that there were when it was loaded
        new = own_page or not host.reusable or not left_pages or "kernel" in more
        left, uses = (None, 0) if new else left_pages.pop()
        return pages(host(server, browser_context, name, cells=cells, path=path, left=left, **more), uses)

    return open_notebook


@pytest.fixture
def dashboard(server, browser_context, request, pages):
    """`dashboard(cells)` opens a page of Voila; `dashboard(path=...)` of a copy of that notebook."""

    def open_dashboard(cells=None, path=None):
        name = f"{short_name(request)}-{next(numbers)}.ipynb"
        return pages(Dashboard(server, browser_context, name, cells=cells, path=path))

    return open_dashboard


@pytest.fixture
def voila(server, tmp_path):
    """`voila(path)` serves that notebook by Voila's own server; the same one for the whole test."""
    servers = []

    def serve(path):
        if not servers:
            servers.append(VoilaServer(tmp_path, path, server.fork_kernels))
        return servers[0]

    yield serve
    for each in servers:
        each.stop()


@pytest.fixture
def contexts(chromium, refused):
    """`contexts()` is another person's browser."""
    opened = []

    def another():
        opened.append(new_context(chromium, refused))
        return opened[-1]

    yield another
    for each in opened:
        each.close()


@pytest.fixture
def visit(voila, contexts, pages):
    """`visit(path)` is a visitor who sets out for that notebook on a Voila server; each next one goes to the same."""
    # `pages` comes last, so that it looks at them while their browsers are open
    return lambda path: pages(Visitor(voila(path), contexts()))


@pytest.fixture(params=["JupyterLab", "Notebook 7"])
def notebook_host(request):
    """The two hosts that one server has for a notebook."""
    return {"JupyterLab": Notebook, "Notebook 7": Notebook7}[request.param]


@pytest.fixture
def marimo_app(browser_context, tmp_path, pages):
    """`marimo_app(path)` runs an app and opens a page of it."""
    servers = []

    def run(path):
        servers.append(MarimoServer(tmp_path, path))
        return pages(App(servers[-1], browser_context))

    yield run
    for each in servers:
        each.stop()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    if call.when == "call":
        item.failed = outcome.get_result().failed
