"""Nobody has to scroll between the picture and what changes it, at the sizes that people's windows have."""

import pytest

from .lab import Notebook, Notebook7
from .test_explorer import LONG, MODEL
from .test_real_images import DATASET

SIZES = [(1280, 720), (1366, 768), (1440, 900), (1920, 1080)]
SHOW = "explorer = UnitExplorer(model, layer='conv2', unit=3, recipe=long, dataset=images)\nexplorer"

# What must be seen together, by what it is; and that no two of them, and no text of the bar, lie on each other.
MEASURE = """root => {
  root.scrollIntoView({ block: 'start' });
  const knobs = [...root.querySelectorAll('.peek-knobs input[type=range]')];
  const named = label => root.querySelector(`[aria-label="${label}"]`);
  const parts = {
    picture: root.querySelector('.peek-stage'), layer: named('Layer'),
    unit: named('Unit'), number: named('Unit number'),
    recipe: root.querySelector('.peek-recipe-button'), play: root.querySelector('.peek-primary'),
    step: named('Single step'), restart: named('Restart with the same seed'), seed: named('Seed'),
    scrubber: root.querySelector('.peek-scrubber'), activation: root.querySelector('.peek-activation'),
    ...Object.fromEntries([...root.querySelectorAll('.peek-seed-tile')].map((one, at) => ['seeds ' + at, one])),
    curve: root.querySelector('.peek-curve'), status: root.querySelector('.peek-status'),
    ...Object.fromEntries(knobs.map(knob => [knob.ariaLabel, knob])),
  };
  const boxes = Object.fromEntries(Object.entries(parts).map(([name, part]) => {
    const { left, top, right, bottom } = part.getBoundingClientRect();
    return [name, [left, top, right, bottom].map(Math.round)];
  }));
  const hidden = Object.entries(parts).filter(([, part]) => {
    const { left, top, width, height } = part.getBoundingClientRect();
    const at = document.elementFromPoint(left + width / 2, top + height / 2);
    return !at || !(part.contains(at) || at.contains(part) && root.contains(at));
  }).map(([name]) => name);
  const { width, height } = root.getBoundingClientRect();
  return { knobs: knobs.length, boxes, hidden, width: Math.round(width), height: Math.round(height),
    wide: root.scrollWidth > root.clientWidth };
}"""


def measure(page, size):
    page.page.set_viewport_size({"width": size[0], "height": size[1]})
    # the page lays itself out anew within two repaints
    page.page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    return page.root.evaluate(MEASURE)


def check(seen, size, where):
    said = f"{where} at {size[0]} x {size[1]}: {seen}"
    print(where, size, seen["width"], seen["height"])
    assert seen["knobs"] == 5, said
    assert seen["hidden"] == [], said
    assert not seen["wide"], said
    boxes = seen["boxes"].values()
    left, top = min(box[0] for box in boxes), min(box[1] for box in boxes)
    right, bottom = max(box[2] for box in boxes), max(box[3] for box in boxes)
    assert left >= 0 <= top, said
    assert right <= size[0], said
    assert bottom <= size[1], said
    # the picture is large enough to be what one looks at
    picture = seen["boxes"]["picture"]
    assert picture[2] - picture[0] >= 240, said
    if seen["width"] >= 900 and size[1] < 800:
        assert seen["height"] <= 562, said


@pytest.mark.own_page
@pytest.mark.parametrize("host", [Notebook, Notebook7], ids=["JupyterLab", "Notebook 7"])
def test_picture_unit_and_every_knob_lie_in_one_viewport(notebook, host):
    book = notebook([MODEL + LONG + DATASET + SHOW], host=host)
    book.run_cell(0)
    book.until("d.drawn > 1 && d.crops === 9", timeout=90)
    for sidebar in ("collapse", "expand"):
        book.page.evaluate(f"() => window.jupyterapp.shell.{sidebar}Left()")
        for size in SIZES:
            check(measure(book, size), size, f"{host.__name__}, {sidebar}")
    # and the seeds drawn at once, for which the picture makes room
    book.ask("setattr(explorer, 'seeds_at_once', 4)")
    book.until("d.seeds === '0,1,2,3'")
    for size in SIZES:
        seen = measure(book, size)
        assert {f"seeds {at}" for at in range(4)} < seen["boxes"].keys()
        check(seen, size, f"{host.__name__}, four seeds")


def test_in_a_dashboard_too_and_widened_in_a_window_that_was_narrow(dashboard):
    page = dashboard([MODEL + LONG + DATASET + SHOW])
    page.until("d.drawn > 1 && d.crops === 9", timeout=90)
    for size in SIZES:
        check(measure(page, size), size, "Voila")

    page.root.locator(".peek-tool-widen").click()
    for width in (1200, 620, 1200, 700, 480, 900):
        page.root.evaluate(f"root => root.parentElement.style.width = '{width}px'")
        # a picture and crops that were not laid out again would have no size
        for what, least in ((".peek-stage", 240), (".peek-seed", 40), (".peek-crop", 40)):
            page.page.wait_for_function(
                "([what, least]) => document.querySelector('.peek-root').querySelector(what)?.clientWidth >= least",
                arg=[what, least],
                timeout=20_000,
            )
