"""The dashboard as strangers have it: by Voila's own server, each in a browser of their own."""

import shlex
import time
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import expect

from peek_widget import load_recipe

from .test_photo import jpeg
from .voila import OPTIONS

ROOT = Path(__file__).parents[2]
DASHBOARD = ROOT / "examples" / "dashboard.ipynb"
WITH_IMAGES = "The bundled network, with real images of its classes beside the picture"
UNTRAINED = "SqueezeNet 1.1 with random weights: untrained, to compare with"
LONG = "lucid-2017"  # whoever draws by it draws for a while, and never gray

# As a page that was tampered with would do it: on the kernel's own channel, by the protocol that Voila's pages speak.
# Gives the kinds of the answers to a request.
REQUEST = """async ([kernel, kind, content]) => {
  const address = `ws://${location.host}/api/kernels/${kernel}/channels`;
  const socket = new WebSocket(address, 'v1.kernel.websocket.jupyter.org');
  socket.binaryType = 'arraybuffer';
  await new Promise((done, failed) => { socket.onopen = done; socket.onerror = failed; });
  const id = `mine-${kind}`;
  const header = { msg_id: id, msg_type: kind, username: '', session: 'me', date: '', version: '5.3' };
  const coder = new TextEncoder();
  const whole = [header, {}, {}, content].map(each => JSON.stringify(each));
  const parts = ['shell', ...whole].map(each => coder.encode(each));
  const offsets = [8 * (parts.length + 2)];
  for (const part of parts) offsets.push(offsets.at(-1) + part.length);
  const bytes = new Uint8Array(offsets.at(-1));
  const numbers = new DataView(bytes.buffer);
  [offsets.length, ...offsets].forEach((number, at) => numbers.setBigUint64(8 * at, BigInt(number), true));
  parts.forEach((part, at) => bytes.set(part, offsets[at]));
  const answers = [];
  socket.onmessage = ({ data }) => {
    const all = new DataView(data);
    const at = index => Number(all.getBigUint64(8 * (index + 1), true));
    const read = index => JSON.parse(new TextDecoder().decode(data.slice(at(index), at(index + 1))));
    if (read(2).msg_id === id) answers.push(read(1).msg_type);
  };
  socket.send(bytes);
  await new Promise(done => setTimeout(done, 3000));
  socket.close();
  return answers;
}"""


def choose_layer(visitor, name):
    field = visitor.root.get_by_role("combobox", name="Layer", exact=True)
    field.focus()
    visitor.page.keyboard.type(name)
    visitor.page.keyboard.press("Enter")
    visitor.until_kernel(f"explorer.layer == {name!r}", timeout=30)


def choose_unit(visitor, number):
    slider = visitor.root.get_by_role("slider", name="Unit", exact=True)
    slider.focus()
    slider.press("Home")
    for _ in range(number):
        slider.press("ArrowRight")
    visitor.until_kernel(f"explorer.unit == {number}", timeout=30)


def choose_recipe(visitor, name):
    visitor.root.locator(".peek-recipe-button").click()
    visitor.root.locator(".peek-recipe-list").get_by_text(name, exact=True).click()
    visitor.until_kernel(f"explorer.recipe == {name!r}", timeout=30)


def restart(visitor):
    visitor.root.get_by_role("button", name="Restart").click()


def draws(visitor):
    """Whether its picture goes on, on the page: more frames, other pixels. A run that ends meanwhile begins anew."""
    for _ in range(3):
        before = visitor.until("d.state === 'done' || d.state === 'running' && d.step > 3", timeout=60)
        if before["state"] == "running":
            pixels = visitor.pixels()
            after = visitor.until(f"d.state === 'done' || d.drawn > {before['drawn'] + 3}", timeout=60)
            if after["drawn"] > before["drawn"] + 3:
                return visitor.pixels() != pixels
        # this machine was quick
        restart(visitor)
        visitor.until(f"d.run > {before['run']}", timeout=60)
    return False


def test_it_is_served_here_as_the_documentation_says():
    page = (ROOT / "docs" / "hosts.md").read_text(encoding="utf-8")
    block = page.split("```bash\nvoila ")[1].split("```")[0]
    words = [word for word in shlex.split(block) if word.strip()]  # without the ends of lines
    assert words == ["examples/dashboard.ipynb", *OPTIONS]


def test_three_visitors_at_once_have_each_their_own(visit):
    three = [visit(DASHBOARD) for _ in range(3)]
    for each in three:
        each.until("d.drawn > 0", timeout=180)
    server = three[0].server
    assert server.kernels() == 3
    assert len({each.kernel for each in three}) == 3

    first, second, third = three
    choose_layer(first, "conv5")
    second.choose_network(UNTRAINED)
    choose_layer(third, "conv2")
    wanted = {first: ("conv5", 1), second: (second.ask("explorer.layer"), 2), third: ("conv2", 3)}
    for each, (_, unit) in wanted.items():
        choose_recipe(each, LONG)
        choose_unit(each, unit)
    for each in three:
        restart(each)
    assert [draws(each) for each in three] == [True, True, True]

    # each is told of its own, and of nobody else's
    for each, (layer, unit) in wanted.items():
        assert each.ask("[explorer.status['layer'], explorer.status['unit']]") == [layer, unit]
        expect(each.root).to_contain_text(f"unit {unit} of layer {layer}", use_inner_text=True)
        said = each.root.inner_text()
        assert not any(f"of layer {other}" in said for other, _ in wanted.values() if other != layer)
    networks = [each.root.locator(".peek-footer").inner_text() for each in three]
    assert networks[0] == networks[2] != networks[1]
    assert len({bytes(each.pixels()) for each in three}) == 3

    # one leaves: its kernel goes, and the others go on in the runs that they had
    runs = {each: each.until("true")["run"] for each in (first, second)}
    third.leave()
    ends = time.monotonic() + 30
    while server.kernels() > 2 and time.monotonic() < ends:
        first.page.wait_for_timeout(250)
    assert server.kernels() == 2
    for each, run in runs.items():
        each.until(f"d.run === {run} && d.health === 'ok'")
        assert draws(each)
    choose_unit(first, 4)
    assert draws(first)
    assert second.ask("explorer.unit") == wanted[second][1]


@pytest.fixture
def visitor(visit):
    """One, whose picture draws."""
    one = visit(DASHBOARD)
    one.until("d.drawn > 0", timeout=180)
    return one


def test_what_a_visitor_saves_goes_to_their_browser_and_nowhere_else(visitor):
    before = sorted(visitor.server.root.rglob("*"))
    visitor.until("d.state === 'done'", timeout=180)
    with visitor.page.expect_download() as download:
        visitor.root.get_by_role("button", name="Save", exact=True).click()
    path = download.value.path()
    assert Image.open(path).size == (visitor.ask("explorer.status['size']"),) * 2
    assert load_recipe(path).recipe.name == "peek"
    assert sorted(visitor.server.root.rglob("*")) == before


def test_a_visitor_can_run_no_code_and_fetch_no_file(visitor):
    server = visitor.server
    # the channel is open, so that silence says something
    assert "kernel_info_reply" in visitor.page.evaluate(REQUEST, [visitor.kernel, "kernel_info_request", {}])
    run = {"code": "explorer.hit = 1", "silent": False, "store_history": False, "user_expressions": {}}
    assert visitor.page.evaluate(REQUEST, [visitor.kernel, "execute_request", run]) == []
    assert visitor.ask("hasattr(explorer, 'hit')") is False

    (server.root / "secret.csv").write_text("1")
    for path in ("secret.csv", "dashboard.ipynb", "..%2fconfig"):
        assert server.answer(f"/voila/files/{path}") >= 400, path
        assert server.answer(f"/{path}") >= 400, path
    for path in ("/api/kernels", "/api/contents", "/api/sessions", "/voila/tree", "/voila/render/dashboard.ipynb"):
        assert server.answer(path) >= 400, path
    assert server.kernels() == 1


def test_nothing_on_the_page_takes_a_path_and_a_file_only_as_a_photo(visitor):
    visitor.until("d.state === 'done'", timeout=180)
    visitor.root.locator(".peek-recipe-button").click()
    visitor.page.keyboard.press("Escape")  # the list lies over the tabs
    for each in visitor.root.get_by_role("tab").all():
        each.click()
    visitor.root.get_by_role("tab", name="Whole layer").click()
    visitor.root.get_by_role("searchbox").wait_for(timeout=30_000)  # of the whole layer, which comes last
    fields = visitor.page.locator("input, textarea, [contenteditable=true]").evaluate_all(
        "all => all.map(one => [one.type ?? one.localName, one.getAttribute('aria-label') ?? ''])"
    )
    assert {kind for kind, _ in fields} == {"range", "number", "checkbox", "radio", "text", "search", "file"}
    # the page makes a small picture of the file, and sends that
    files = visitor.page.locator("input[type=file]").evaluate_all("all => all.map(one => one.accept)")
    assert files == ["image/*"]
    # where one may type anything it is looked for in a list, read as a size, or is a word to put on a unit
    assert {name for kind, name in fields if kind in ("text", "search")} == {
        "Layer",
        "Class",
        "Image size in px (empty = recipe default)",
        "Search tags or units",
        "",
    }

    # it is compared with the real images, where there are some, and stored nowhere
    visitor.page.get_by_label("Network", exact=True).select_option(label=WITH_IMAGES)
    visitor.until_kernel("explorer.evidence_status.get('state') == 'done'")
    before = sorted(visitor.server.root.rglob("*"))
    visitor.root.get_by_role("tab", name="Your photo").click()
    visitor.page.locator("input[type=file]").set_input_files([jpeg(120, 80)])
    visitor.until("String(d.photo).startsWith('1/')")
    expect(visitor.root.locator(".peek-photo-seen")).to_contain_text("of 140 real images")
    assert sorted(visitor.server.root.rglob("*")) == before
