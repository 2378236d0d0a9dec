"""Set up everything the tests need in .venv, a Chromium included, and run all of them.

    python3 scripts/test.py              everything: the steps lint, unit and browser
    python3 scripts/test.py --fast       the fast unit tests alone
    python3 scripts/test.py --only STEP  one step: lint, fast, unit, browser or docs
    python3 scripts/test.py --oldest     with the oldest versions that pyproject.toml allows, in .venv-oldest
    python3 scripts/test.py -- -k ghost  what follows -- goes to pytest

Needs Python 3.11 or later and a network for the first run; nothing else. What CI runs are these steps.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import time
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NO_TESTS = 5
"""pytest's exit code where none was selected."""
CHROMIUMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
TOOLS = ("test", "docs", "bench")
"""Extras that nobody needs who only uses the package; their versions don't have to be old ones."""


def say(text: str) -> None:
    print(f"\n== {text}", flush=True)


def run(*command: object, **kwargs: object) -> None:
    subprocess.run([str(part) for part in command], check=True, cwd=kwargs.pop("cwd", ROOT), **kwargs)


class Environment:
    """A virtual environment of the repository's own, and the steps that run in it."""

    def __init__(self, folder: str, oldest: bool) -> None:
        self.folder = ROOT / folder
        self.oldest = oldest
        self.bin = self.folder / ("Scripts" if os.name == "nt" else "bin")
        self.python = self.bin / ("python.exe" if os.name == "nt" else "python")

    # -- what is needed

    def make(self) -> None:
        if self.python.exists():
            return
        say(f"a virtual environment in {self.folder.name}")
        try:
            run(sys.executable, "-m", "venv", self.folder)
        except subprocess.CalledProcessError:
            shutil.rmtree(self.folder, ignore_errors=True)
            sys.exit("Python has no venv module here. On Debian: apt-get install python3-venv, then try again.")

    def install(self, *what: str) -> None:
        constraints = ["--constraint", "constraints.txt"]
        if self.oldest:
            constraints = ["--constraint", self.write_oldest()]
        # Python compiles what is imported when it is imported; compiling everything takes longer than some tests do.
        run(self.python, "-m", "pip", "install", "--quiet", "--no-compile", *constraints, *what)

    def install_all(self) -> None:
        say("peek_widget and what its tests need")
        self.install("--editable", ".[test]")

    def write_oldest(self) -> Path:
        """Write the constraints that ask for the oldest version of each library that users need."""
        project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
        extras = project["optional-dependencies"]
        needed = project["dependencies"] + [each for name in extras if name not in TOOLS for each in extras[name]]
        pins = sorted({re.sub(r"^([\w.-]+)>=([\w.]+).*$", r"\1==\2", each) for each in needed})
        file = self.folder / "oldest.txt"
        file.write_text("\n".join(pins) + "\n", "utf-8")
        return file

    def find_chromium(self) -> str | None:
        given = os.environ.get("PEEK_CHROMIUM")
        if given:
            return given
        found = next((path for name in CHROMIUMS if (path := shutil.which(name))), None)
        if found:
            return found
        probe = "from playwright.sync_api import sync_playwright as p\nwith p() as w: print(w.chromium.executable_path)"
        done = subprocess.run([str(self.python), "-c", probe], capture_output=True, text=True, check=True)
        path = done.stdout.strip()
        return path if Path(path).exists() else None

    def install_chromium(self) -> None:
        if self.find_chromium():
            return
        say("a Chromium for the browser tests")
        if shutil.which("apt-get") and hasattr(os, "geteuid") and os.geteuid() == 0:
            # Debian's package brings its libraries along.
            quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
            run("apt-get", "update", "-qq", env=quiet)
            run("apt-get", "install", "-y", "-qq", "chromium", env=quiet, stdout=subprocess.DEVNULL)
        else:
            run(self.python, "-m", "playwright", "install", "chromium")
        if not self.find_chromium():
            sys.exit("No Chromium could be installed. Install one and give its path in PEEK_CHROMIUM.")

    # -- the steps: each says whether all is well, None where there was nothing to do

    def lint(self, _more: list[str]) -> bool:
        say("style, layout, and who imports whom")
        commands = (
            [self.python, "-m", "ruff", "check", "."],
            [self.python, "-m", "ruff", "format", "--check", "."],
            [self.bin / "lint-imports"],
        )
        codes = [subprocess.run(command, cwd=ROOT).returncode for command in commands]
        return not any(codes)

    def fast(self, more: list[str]) -> bool | None:
        say("the fast unit tests: two files at a time")
        return self.pytest("-m", "not slow and not browser", *TWO, *more)

    def unit(self, more: list[str]) -> bool | None:
        say("the fast unit tests, and which lines they run: two files at a time")
        # Not of the slow ones: it makes small networks a third slower.
        coverage = ["--cov=peek_widget", "--cov-report=term:skip-covered"]
        fast = self.pytest("-m", "not slow and not browser", *TWO, *coverage, "--durations=20", *more)
        say("published networks, the front end, the packages, the notebooks: two files at a time")
        return both(fast, self.pytest("-m", "slow and not browser", *TWO, "--durations=20", *more))

    def browser(self, more: list[str]) -> bool | None:
        self.install_chromium()
        say("in a real browser: two at a time")
        together = self.pytest("-m", "browser and not alone", *TWO_AT_ONCE, *RETRIED, *more)
        # these look at what a page shows within a time, while a kernel computes
        say("in a real browser: one at a time")
        return both(together, self.pytest("-m", "browser and alone", *RETRIED, *more))

    def docs(self, _more: list[str]) -> bool:
        say("the site")
        quiet = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
        return subprocess.run([self.python, "-m", "mkdocs", "build", "--strict"], cwd=ROOT, env=quiet).returncode == 0

    def pytest(self, *arguments: str) -> bool | None:
        code = subprocess.run([str(self.python), "-m", "pytest", *arguments], cwd=ROOT).returncode
        return None if code == NO_TESTS else code == 0


RETRIED = ("--reruns=1", "--durations=20")
# In the order of tests/conftest.py, which has the long files first; by itself xdist has those with most tests first.
TWO = ("-n", "2", "--dist", "loadfile", "--no-loadscope-reorder")
# Tests in a browser share nothing but what each process has once: whoever is done takes what the other has left.
TWO_AT_ONCE = ("-n", "2", "--dist", "worksteal")
STEPS = ("lint", "fast", "unit", "browser", "docs")
EVERYTHING = ["lint", "unit", "browser"]


def both(first: bool | None, second: bool | None) -> bool | None:
    """Whether all is well in two parts; None where there was nothing to do in either."""
    outcomes = [each for each in (first, second) if each is not None]
    return all(outcomes) if outcomes else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fast", action="store_true", help="only the fast unit tests in Python")
    parser.add_argument("--only", choices=STEPS, help="only this step")
    parser.add_argument("--oldest", action="store_true", help="the oldest versions of what the package needs")
    parser.add_argument("pytest", nargs="*", help="further arguments for pytest, after --")
    options = parser.parse_args()
    steps = [options.only] if options.only else ["fast"] if options.fast else EVERYTHING

    # Set in many containers; without compiled files every process that imports PyTorch compiles it anew, 4 s of a core.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    environment = Environment(".venv-oldest" if options.oldest else ".venv", options.oldest)
    began = time.monotonic()
    environment.make()
    if steps == ["lint"]:
        # three small tools: no need of PyTorch
        environment.install(*tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["dependency-groups"]["lint"])
    else:
        environment.install_all()
    outcomes, took = {}, {"installing": time.monotonic() - began}
    for step in steps:
        began = time.monotonic()
        outcomes[step] = getattr(environment, step)(options.pytest)
        took[step] = time.monotonic() - began
    say(", ".join(f"{step} {seconds / 60:.1f} min" for step, seconds in took.items()))
    failed = [step for step, well in outcomes.items() if well is False]
    if failed:
        sys.exit(f"Failed: {', '.join(failed)}.")
    if not any(outcomes.values()):
        sys.exit("No test was found.")


if __name__ == "__main__":
    try:
        main()
    except subprocess.CalledProcessError as error:
        sys.exit(f"This failed: {' '.join(map(str, error.cmd))}")
