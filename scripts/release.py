"""Build the release, open it, and try it on a machine that has nothing else of ours: a fresh environment.

    .venv/bin/python scripts/release.py            builds into dist/, checks, and says how to upload
    .venv/bin/python scripts/release.py --quick    without the fresh environment
    python scripts/release.py --tag v1.2.3         refuses where the version is another

Uploading is left to a person: push the tag and approve the workflow `release`, or twine upload dist/*.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import venv
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DIST = ROOT / "dist"
NEEDED = (
    "peek_widget/static/widget.js",
    "peek_widget/static/widget.css",
    "peek_widget/static/lazy.js",
    "peek_widget/static/lazy.css",
    "peek_widget/zoo/bundled.safetensors",
    "peek_widget/py.typed",
    "peek_widget/explorer.py",
)
UNWANTED = (
    "tests/",
    "shared/",
    "node_modules/",
    "js/dev/",
    "js/test/",
    "benchmarks/",
    "tools/",
    "__pycache__/",
    ".venv/",
)

# In the fresh environment, from another folder: the engine, and the widget without a page.
TRIAL = """
import pathlib, peek_widget
from peek_widget import Channel, UnitExplorer, load_recipe, render, zoo
assert pathlib.Path(peek_widget.__file__).is_relative_to(pathlib.Path(__import__("sys").prefix)), peek_widget.__file__
render(zoo.bundled(), Channel("conv4", 7), "peek-fast").save("unit7.png")
assert load_recipe("unit7.png").recipe.name == "peek-fast"
explorer = UnitExplorer(recipe="peek-fast")
assert explorer.wait(300) == "done" and explorer.frame and "function" in explorer._esm
explorer.close()
print("drew", explorer)
"""


def say(text: str) -> None:
    print(f"== {text}", flush=True)


def version() -> str:
    """Return the version of `peek_widget/_version.py`; no other file may say one, and the changelog has its section."""
    number = re.search(r'^__version__ = "(.+)"$', (ROOT / "peek_widget/_version.py").read_text("utf-8"), re.MULTILINE)
    if number is None:
        sys.exit("peek_widget/_version.py says no version.")
    said = {
        "pyproject.toml": "version" in tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"],
        "js/package.json": "version" in json.loads((ROOT / "js/package.json").read_text("utf-8")),
        "CITATION.cff": bool(re.search(r"(?m)^version:", (ROOT / "CITATION.cff").read_text("utf-8"))),
    }
    if any(said.values()):
        others = [name for name, says in said.items() if says]
        sys.exit(f"The version stands in peek_widget/_version.py alone; take it out of {', '.join(others)}.")
    if f"## [{number[1]}]" not in (ROOT / "CHANGELOG.md").read_text("utf-8"):
        sys.exit(f"CHANGELOG.md has no section [{number[1]}]: move what is under [Unreleased] there.")
    return number[1]


def checked_wheel(number: str) -> Path:
    """Check what is in the wheel and in the sdist; return the wheel."""
    wheels, archives = list(DIST.glob("*.whl")), list(DIST.glob("*.tar.gz"))
    if len(wheels) != 1 or len(archives) != 1 or number not in wheels[0].name:
        sys.exit(f"dist/ should hold one wheel and one sdist of {number}; it holds {[p.name for p in DIST.iterdir()]}.")
    with zipfile.ZipFile(wheels[0]) as wheel:
        check(wheels[0].name, wheel.namelist())
    with tarfile.open(archives[0]) as archive:
        check(archives[0].name, [name.partition("/")[2] for name in archive.getnames()])
    return wheels[0]


def check(file: str, names: list[str]) -> None:
    """Exit with a sentence if a package lacks a file that it needs, or holds one that it should not."""
    missing = [name for name in NEEDED if name not in names]
    wrong = [name for name in names if any(part in name for part in UNWANTED)]
    if missing or wrong:
        sys.exit(f"{file}: missing {missing or 'nothing'}, and should not hold {wrong[:5] or 'anything else'}.")
    say(f"{file}: {len(names)} files, all that is needed among them")


def try_out(wheel: Path) -> None:
    """Install the wheel into an environment of its own and draw with it."""
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        python = Path(folder, "Scripts/python.exe" if os.name == "nt" else "bin/python")
        subprocess.run(
            [python, "-m", "pip", "install", "--quiet", "--constraint", ROOT / "constraints.txt", wheel], check=True
        )
        subprocess.run([python, "-c", TRIAL], check=True, cwd=folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="don't try the wheel in an environment of its own")
    parser.add_argument("--tag", help="the tag that this release is to have")
    options = parser.parse_args()
    number = version()
    if options.tag not in (None, f"v{number}"):
        sys.exit(f"The tag is {options.tag}, and peek_widget/_version.py says {number}.")
    shutil.rmtree(DIST, ignore_errors=True)
    say(f"building {number}")
    subprocess.run([sys.executable, "-m", "build", "--outdir", DIST, ROOT], check=True, stdout=subprocess.DEVNULL)
    wheel = checked_wheel(number)
    if not options.quick:
        say("trying the wheel in an environment of its own; this installs PyTorch")
        try_out(wheel)
    say(f"ready. Tag it (git tag v{number}) and upload it: twine upload dist/*")


if __name__ == "__main__":
    try:
        main()
    except subprocess.CalledProcessError as error:
        sys.exit(f"This failed: {' '.join(map(str, error.cmd))}")
