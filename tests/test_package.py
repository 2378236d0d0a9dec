"""What gets packed, how the front end gets built, and whether both sides speak of the same messages."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.test_front_end import MOST_BYTES

ROOT = Path(__file__).resolve().parents[1]
BUNDLE = {f"peek_widget/static/{name}.{kind}" for name in ("widget", "lazy", "page") for kind in ("js", "css")}
# Debian 12's Python 3.11.2 does not know the filter yet.
_SAFELY = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
UNWANTED = ("tests/", "shared/", "node_modules/", "js/dev/", "js/test/", "benchmarks/", "tools/", "__pycache__/")


# -- one protocol, written down once


def test_the_front_ends_types_are_those_that_follow_from_the_messages_and_controls_of_now():
    spec = importlib.util.spec_from_file_location("generate_protocol", ROOT / "scripts/generate_protocol.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    assert script.PATH.read_text("utf-8") == script.generate(), "run: python scripts/generate_protocol.py"


# -- the build hook


@pytest.fixture(scope="module")
def hook():
    spec = importlib.util.spec_from_file_location("hatch_build", ROOT / "hatch_build.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def checkout(tmp_path):
    """A tree with a bundle that is newer than its sources."""
    for at, name in enumerate(
        ["js/src/index.ts", "js/package.json", "js/package-lock.json", "js/build.mjs", *sorted(BUNDLE)]
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
        os.utime(path, (1000 + at, 1000 + at))
    return tmp_path


def asked_for(hook, root: Path) -> list[str]:
    return hook.FrontEndHook(str(root), {}, None, None, str(root), "wheel").dependencies()


def put_node(folder: Path, answer: str) -> None:
    for name in ("node", "npm"):
        script = folder / name
        script.write_text(f"#!{sys.executable}\n{answer}\n")
        script.chmod(0o755)


def test_a_bundle_newer_than_its_sources_is_used(hook, checkout):
    assert hook.is_fresh(checkout)


@pytest.mark.parametrize("name", ["js/src/index.ts", "js/package-lock.json", "js/build.mjs"])
def test_a_changed_source_makes_the_bundle_stale(hook, checkout, name):
    os.utime(checkout / name, (5000, 5000))
    assert not hook.is_fresh(checkout)


def test_half_a_bundle_is_none(hook, checkout):
    (checkout / "peek_widget/static/widget.css").unlink()
    assert not hook.is_fresh(checkout)


def test_an_sdist_is_taken_at_its_word_whatever_the_times_of_its_files(hook, checkout):
    os.utime(checkout / "js/src/index.ts", (5000, 5000))
    (checkout / "PKG-INFO").write_text("")
    assert hook.is_fresh(checkout)


@pytest.mark.skipif(os.name == "nt", reason="stands in for Node by a script with a #! line")
@pytest.mark.parametrize(
    ("answer", "needed"),
    [
        (None, True),
        ("print('v22.1.0')", False),
        ("print('v12.22.9')", True),
        ("raise SystemExit('nvm: no version chosen')", True),
    ],
)
def test_a_node_is_asked_for_only_where_there_is_none_to_use(
    hook, checkout, tmp_path_factory, monkeypatch, answer, needed
):
    folder = tmp_path_factory.mktemp("bin")
    if answer is not None:
        put_node(folder, answer)
    monkeypatch.setenv("PATH", str(folder))
    assert asked_for(hook, checkout) == []
    os.utime(checkout / "js/src/index.ts", (5000, 5000))
    assert asked_for(hook, checkout) == ([hook.NODE_WHEEL] if needed else [])


def test_a_tree_without_the_sources_of_a_missing_bundle_says_what_to_do(hook, tmp_path):
    with pytest.raises(RuntimeError, match=r"install from a wheel, an sdist, or a complete checkout"):
        hook.build(tmp_path)


def test_a_build_that_fails_shows_what_was_said(hook, tmp_path):
    command = [sys.executable, "-c", "print('the registry is away'); raise SystemExit(3)"]
    with pytest.raises(RuntimeError, match=r"exit status 3(.|\n)*the registry is away"):
        hook._run(command, tmp_path, dict(os.environ))


def test_the_lock_file_names_no_address_to_install_from():
    lock = json.loads((ROOT / "js/package-lock.json").read_text(encoding="utf-8"))
    assert [name for name, entry in lock["packages"].items() if "resolved" in entry] == []


# -- what is in the packages


def pack(target: str, folder: Path, out: Path, **environment: str) -> Path:
    before = set(out.iterdir())
    done = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(out)],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (made,) = set(out.iterdir()) - before
    return made


def unwanted(names: set[str]) -> list[str]:
    return sorted(name for name in names for part in UNWANTED if f"/{part}" in f"/{name}")


@pytest.mark.slow
def test_sdist_and_wheel_carry_the_front_end_and_nothing_that_is_not_theirs(tmp_path, record_property):
    out = tmp_path / "out"
    out.mkdir()
    sdist = pack("sdist", ROOT, out)
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, **_SAFELY)
    tree = tmp_path / sdist.name.removesuffix(".tar.gz")
    inside = {path.relative_to(tree).as_posix() for path in tree.rglob("*") if path.is_file()}
    sources = {"hatch_build.py", "LICENSE", "js/package-lock.json", "js/.npmrc", "js/src/index.ts"}
    assert inside >= BUNDLE | sources
    assert unwanted(inside) == []

    # A wheel from the sdist, on a machine that has no Node at all.
    nowhere = tmp_path / "nowhere"
    nowhere.mkdir()
    wheel = pack("wheel", tree, out, PATH=str(nowhere))
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        script = archive.read("peek_widget/static/widget.js")
        style = archive.read("peek_widget/static/widget.css")
    assert names >= BUNDLE | {"peek_widget/__init__.py", "peek_widget/explorer.py"}
    assert unwanted(names) == []
    information = wheel.name.split("-py3")[0] + ".dist-info"
    assert {name.split("/")[0] for name in names} == {"peek_widget", information}
    assert b"export{" in script
    assert b".peek-root" in style
    assert len(script) + len(style) < MOST_BYTES
    record_property("wheel_bytes", wheel.stat().st_size)
    print(
        f"\nwheel {wheel.stat().st_size} bytes, sdist {sdist.stat().st_size} bytes, "
        f"front end {len(script) + len(style)} bytes"
    )


@pytest.mark.slow
def test_a_fresh_clone_builds_its_front_end(tmp_path):
    """What `pip install .` does, without pip's own part; needs an npm registry once."""
    tree = tmp_path / "tree"
    tracked = ["js", "hatch_build.py", "pyproject.toml", "LICENSE", "README.md", "peek_widget"]
    listed = subprocess.run(["git", "ls-files", "-z", *tracked], cwd=ROOT, capture_output=True, text=True, check=True)
    for name in filter(None, listed.stdout.split("\0")):
        copy = tree / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes((ROOT / name).read_bytes())
    out = tmp_path / "out"
    out.mkdir()
    with zipfile.ZipFile(pack("wheel", tree, out)) as archive:
        assert set(archive.namelist()) >= BUNDLE
