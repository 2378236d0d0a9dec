"""A person re-identification network (256 x 128) and a spectrogram network (64 x 400) in one notebook."""

import pytest

SETUP = """
import torch
from PIL import Image
from torch import nn
from peek_widget import Preprocess, Recipe, UnitExplorer

torch.manual_seed(0)
quick = Recipe.preset("peek").replace(steps=6, n_views=1, view_size=48, size=96)

def stem(channels):
    return [nn.Conv2d(channels, 6, 5, 4, 2), nn.ReLU(), nn.Conv2d(6, 6, 5, 4, 2), nn.ReLU()]

person = nn.Sequential(*stem(3), nn.Flatten(), nn.Linear(6 * 16 * 8, 4))
sound = nn.Sequential(*stem(1), nn.AdaptiveAvgPool2d((4, 1)), nn.Flatten(), nn.Linear(6 * 4, 3))
people = [Image.effect_noise((120 + 20 * n, 300), 90).convert("RGB") for n in range(4)]
tones = [Image.effect_noise((400, 64 + n), 90) for n in range(4)]
"""
PERSON = """first = UnitExplorer(person, layer="5", input_size=(256, 128), recipe=quick, dataset=people, threads=1)
first"""
SOUND = """second = UnitExplorer(sound, layer="6", input_size=(64, 400), recipe=quick, dataset=tones, threads=1,
                      preprocess=Preprocess(channels=1))
second"""

# By view: width by height of what is drawn on the picture's canvas, on the crops' and in the sheet's tiles.
ASPECTS = """view => {
  const root = document.querySelectorAll('.peek-root')[view];
  const aspect = (width, height) => width / height;
  const stage = root.querySelector('canvas.peek-canvas');
  const fit = getComputedStyle(stage).objectFit;
  return {
    picture: aspect(stage.width, stage.height),
    fit,
    crops: [...root.querySelectorAll('.peek-crop canvas.peek-shot-picture')]
      .filter(one => one.getBoundingClientRect().width > 0).map(one => {
      const box = one.getBoundingClientRect();
      return [aspect(one.width, one.height), aspect(box.width, box.height)];
    }),
    tiles: [...root.querySelectorAll('.peek-sheet-tile-picture')].filter(one => one.naturalWidth > 0)
      .map(one => [aspect(one.naturalWidth, one.naturalHeight), getComputedStyle(one).objectFit]),
  };
}"""


def test_pictures_crops_and_tiles_have_the_shape_of_the_input(notebook):
    book = notebook([SETUP, PERSON, SOUND])
    for cell in range(3):
        book.run_cell(cell)
    for view, (name, shape, units) in enumerate((("first", (256, 128), 4), ("second", (64, 400), 3))):
        root = book.page.locator(".peek-root").nth(view)
        book.until("d.state === 'done' && d.evidence === 'done' && d.thumbs > 0", view=view)
        root.get_by_role("tab", name="Real images").click()
        root.locator(".peek-crop canvas.peek-shot-picture").first.wait_for()
        crops = book.page.evaluate(ASPECTS, view)["crops"]
        root.get_by_role("tab", name="Whole layer").click()
        root.locator(".peek-sheet-grid").wait_for()
        book.page.wait_for_function(
            f"view => document.querySelectorAll('.peek-root')[view].querySelector('.peek-sheet-grid').dataset.drawn"
            f" === '{units}'",
            arg=view,
        )
        book.page.wait_for_function(
            "view => [...document.querySelectorAll('.peek-root')[view].querySelectorAll('.peek-sheet-tile-picture')]"
            f".filter(one => one.naturalWidth > 0).length >= {units}",
            arg=view,
        )
        wanted = shape[1] / shape[0]
        seen = book.page.evaluate(ASPECTS, view)
        assert seen["picture"] == pytest.approx(wanted, rel=0.03)
        assert seen["fit"] == "contain"
        assert len(crops) >= 1
        for own, shown in crops:
            assert shown == pytest.approx(own, rel=0.05), "no crop is stretched"
        assert len(seen["tiles"]) >= units
        for own, fit in seen["tiles"]:
            assert own == pytest.approx(wanted, rel=0.05)
            assert fit == "contain"
        height, width = book.ask(f"{name}.status['size']")
        assert width / height == pytest.approx(wanted, rel=0.03)
        assert list(book.ask(f"list({name}.sheet[0].image.size)")) == [width, height]
    assert book.errors == []
