"""Set up everything the tests need in .venv, a Chromium included, and run all of them.

    python3 scripts/test.py              everything
    python3 scripts/test.py --fast       the fast unit tests alone
    python3 scripts/test.py -- -k ghost  what follows -- goes to pytest

Needs Python 3.11 or later and a network for the first run; nothing else.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / ".venv"
BIN = VENV / ("Scripts" if os.name == "nt" else "bin")
PYTHON = BIN / ("python.exe" if os.name == "nt" else "python")
NO_TESTS = 5
"""pytest's exit code where none was selected."""
CHROMIUMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def say(text: str) -> None:
    print(f"\n== {text}", flush=True)


def run(*command: object, **kwargs: object) -> None:
    subprocess.run([str(part) for part in command], check=True, cwd=kwargs.pop("cwd", ROOT), **kwargs)


def set_up_python() -> None:
    if not PYTHON.exists():
        say(f"a virtual environment in {VENV.name}")
        try:
            run(sys.executable, "-m", "venv", VENV)
        except subprocess.CalledProcessError:
            shutil.rmtree(VENV, ignore_errors=True)
            sys.exit("Python has no venv module here. On Debian: apt-get install python3-venv, then try again.")
    say("peek_widget and what its tests need")
    run(PYTHON, "-m", "pip", "install", "--quiet", "--constraint", "constraints.txt", "--editable", ".[test]")


def find_chromium() -> str | None:
    given = os.environ.get("PEEK_CHROMIUM")
    if given:
        return given
    found = next((path for name in CHROMIUMS if (path := shutil.which(name))), None)
    if found:
        return found
    probe = "from playwright.sync_api import sync_playwright as p\nwith p() as w: print(w.chromium.executable_path)"
    path = subprocess.run([str(PYTHON), "-c", probe], capture_output=True, text=True, check=True).stdout.strip()
    return path if Path(path).exists() else None


def set_up_chromium() -> None:
    if find_chromium():
        return
    say("a Chromium for the browser tests")
    if shutil.which("apt-get") and hasattr(os, "geteuid") and os.geteuid() == 0:
        # Debian's package brings its libraries along.
        quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        run("apt-get", "update", "-qq", env=quiet)
        run("apt-get", "install", "-y", "-qq", "chromium", env=quiet, stdout=subprocess.DEVNULL)
    else:
        run(PYTHON, "-m", "playwright", "install", "chromium")
    if not find_chromium():
        sys.exit("No Chromium could be installed. Install one and give its path in PEEK_CHROMIUM.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fast", action="store_true", help="only the fast unit tests in Python")
    parser.add_argument("pytest", nargs="*", help="further arguments for pytest, after --")
    options = parser.parse_args()
    set_up_python()
    if options.fast:
        run(PYTHON, "-m", "pytest", "-m", "not slow and not browser", *options.pytest)
        return
    set_up_chromium()
    say("style")
    run(PYTHON, "-m", "ruff", "check", ".")
    say("the engine, the session, the front end, the packages, the notebooks: two files at a time")
    codes = [pytest("-m", "not browser", "-n", "2", "--dist", "loadfile", *options.pytest)]
    # one at a time: these look at what a page shows while a kernel computes
    say("in a real browser")
    codes.append(pytest("-m", "browser", *options.pytest))
    wrong = [code for code in codes if code not in (0, NO_TESTS)]
    if wrong or set(codes) == {NO_TESTS}:
        sys.exit(f"The tests failed, or none was found: pytest said {codes}.")


def pytest(*arguments: str) -> int:
    """Run tests; pytest's exit code."""
    return subprocess.run([str(PYTHON), "-m", "pytest", *arguments], cwd=ROOT).returncode


if __name__ == "__main__":
    try:
        main()
    except subprocess.CalledProcessError as error:
        sys.exit(f"This failed: {' '.join(map(str, error.cmd))}")
