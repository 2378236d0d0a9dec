"""The recipes by name, with the numbers that their sources published.

Where a source has its own network, image range or transformation code, the numbers are kept and the rest is ours:
the picture is held in gray levels (or as a spectrum) and the model's own preprocessing is part of what is
climbed, so that a step of 3.0 is 3 gray levels of 255 for every model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from peek_widget.ascent.recipe import Recipe
from peek_widget.errors import RecipeError

__all__ = ["Preset", "preset", "presets"]


@dataclass(frozen=True)
class Preset:
    """A recipe by name, what it does in a plain sentence, and where it was published."""

    recipe: Recipe
    summary: str
    source: str


def _peek() -> Preset:
    """Our own: the best picture.

    A spectrum (Olah, Mordvintsev & Schubert 2017, "Feature Visualization", https://distill.pub/2017/feature-visualization)
    seen through crops of very different sizes (the idea of MACO, Fel et al. 2023), with a little total variation.
    """
    recipe = Recipe(
        name="peek", octaves=((150, 1.0),), image="fourier", optimizer="adam", view="crop", start_deviation=0.01,
        spectrum_power=1.1, step_size=0.05, jitter=0.05, total_variation=0.05, crop=(0.3, 1.2),
        field_crop=(0.9, 1.5), rotation=10.0, size=160,
    )  # fmt: skip
    return Preset(
        recipe,
        "Our own: a clear picture in a few seconds, seen through crops of many sizes.",
        "peek_widget; image after Olah, Mordvintsev & Schubert 2017, crops after Fel et al. 2023 (MACO).",
    )


def _oygard_2016() -> Preset:
    """A. M. Øygard, "Peeking inside convolutional neural networks" (2016): its notebook for VGG-S.

    Five octaves, 475 steps, from N(250, 8); ``x += step / mean(|g|) * g``, then a blur, both getting smaller.
    """
    recipe = Recipe(
        name="oygard-2016", octaves=((200, 1.0), (100, 1.0), (100, 1.05), (50, 1.05), (25, 1.05)), image="pixels",
        optimizer="plain", normalize="mean", view="window", start_level=250.0, start_deviation=8.0,
        step_size=((3.0, 2.5), (2.5, 2.0), (2.0, 1.5), (1.5, 0.375), (0.375, 0.125)),
        blur=((2.5, 1.1), (1.1, 0.858), (0.858, 0.78), (0.858, 0.40), (0.4, 0.1)),
    )  # fmt: skip
    return Preset(
        recipe,
        "The article's: from white, plain steps and a blur that lets finer detail in little by little.",
        'A. M. Øygard, "Peeking inside convolutional neural networks" (2016), deepdraw notebook for VGG-S.',
    )


def _oygard_2016_googlenet() -> Preset:
    """The article's notebook for GoogLeNet (inception_4c/output): steps four times as large, a last blur of 0.3."""
    recipe = _oygard_2016().recipe.replace(
        name="oygard-2016-googlenet",
        step_size=((12.0, 10.0), (10.0, 8.0), (8.0, 6.0), (6.0, 1.5), (1.5, 0.5)),
        blur=((2.5, 1.1), (1.1, 0.858), (0.858, 0.78), (0.858, 0.40), (0.4, 0.3)),
    )
    return Preset(
        recipe,
        "The article's for GoogLeNet: as oygard-2016 with steps four times as large; bolder and rougher.",
        'A. M. Øygard, "Peeking inside convolutional neural networks" (2016), deepdraw notebook for GoogLeNet filters.',
    )


def _oygard_2015_class() -> Preset:
    """A. M. Øygard, "Visualizing GoogLeNet classes" (2015), deepdraw: the notebook's "more coherent" alternative.

    190 steps and, at 1.2 times the size, 450 more, all on the last classifier. The notebook's first list moves on to
    GoogLeNet's two auxiliary classifiers, which no other network has.
    """
    recipe = Recipe(
        name="oygard-2015-class", octaves=((190, 1.0), (450, 1.2)), image="pixels", optimizer="plain",
        normalize="mean", view="window", start_level=200.0, start_deviation=8.0,
        step_size=((11.0, 11.0), (6.0, 3.0)), blur=((2.5, 0.78), (0.936, 0.40)),
    )  # fmt: skip
    return Preset(
        recipe,
        "The earlier post's, for classes: long steps from a light gray, then slower ones on a larger picture.",
        'A. M. Øygard, "Visualizing GoogLeNet classes" (2015), deepdraw notebook, the more coherent alternative.',
    )


def _yosinski_2015(number: int, summary: str, steps: int, **numbers: Any) -> Preset:
    """Yosinski, Clune, Nguyen, Fuchs & Lipson 2015, "Understanding Neural Networks Through Deep Visualization".

    The four sets of hyperparameters of Table 1 (arXiv 1506.06579; Deep Visualization Toolbox): from the mean plus
    N(0, 10), ``x += rate * g``, decay, a blur at every fourth step, clipping of pixels with small norm and of small
    contribution; the best picture of the run is kept. The rates are by gray levels and absolute, for the paper's
    network: on one of another scale the pictures may stay faint (on SqueezeNet set 1's are gray).
    """
    recipe = Recipe(
        **{
            "name": f"yosinski-2015-{number}", "octaves": ((steps, 1.0),), "image": "pixels", "optimizer": "plain",
            "view": "window", "start_level": None, "start_deviation": 10.0, "keep": "best", **numbers,
        }
    )  # fmt: skip
    return Preset(recipe, summary, f"Yosinski et al. 2015 (arXiv 1506.06579), Table 1, set {number}.")


def _lucid_2017() -> Preset:
    """Olah, Mordvintsev & Schubert 2017, "Feature Visualization", as Lucid's defaults have it.

    Spectrum with power 1 at 128 px, Adam 0.05, 512 steps; padding 12 in gray, jitter 8, scale one of
    1 +- {0, 0.02, ..., 0.10}, turn one of -10 .. 10 degrees and five times 0, jitter 4. A jitter of 8 is a shift by
    up to 4 either way. All is one bilinear sampling, cut to one size after scaling, where Lucid samples twice and
    hands on pictures of varying size.
    """
    recipe = Recipe(
        name="lucid-2017", octaves=((512, 1.0),), size=128, image="fourier", optimizer="adam", view="whole",
        start_deviation=0.01, spectrum_power=1.0, step_size=0.05, padding=12 / 128, beyond="gray", jitter=4 / 128,
        late_jitter=2 / 128, scales=tuple(1.0 + (n - 5) / 50.0 for n in range(11)),
        turns=(*(float(n) for n in range(-10, 11)), *(0.0,) * 5),
    )  # fmt: skip
    return Preset(
        recipe,
        "The Distill article's: the whole picture a little shifted, scaled and turned; patterns fill the canvas.",
        'Olah, Mordvintsev & Schubert 2017, "Feature Visualization"; Lucid, optvis, standard transforms.',
    )


def _maco_2023() -> Preset:
    """Fel et al. 2023, "Unlocking Feature Visualization for Deeper Networks with MAgnitude Constrained Optimization".

    Numbers of Xplique's ``maco.py``: 512 px, 256 steps, NAdam 1.0, 32 crops a step, of mean side 50 % to 5 %
    (deviation 5 %), middles N(0.5, 0.15), noise N(0, 0.08) + U(-0.04, 0.04) on values from -1 to 1, which is half of
    that on ours from 0 to 1. The spectrum is by formula (:func:`~peek_widget.ascent.spectrum.power_law_spectrum`)
    where theirs is ImageNet's; ``spectrum=`` takes a measured one.
    """
    recipe = Recipe(
        name="maco-2023", octaves=((256, 1.0),), size=512, image="maco", start_deviation=1.0, transparency=True,
        optimizer="nadam", step_size=1.0, view="normal-crop", views=32, crop_mean=(0.5, 0.05), crop_deviation=0.05,
        center_deviation=0.15, noise=0.04,
    )  # fmt: skip
    return Preset(
        recipe,
        "Only the phases of a natural spectrum move, seen through 32 crops a step: photographic, large, slow.",
        "Fel et al. 2023 (NeurIPS), MACO; numbers of Xplique's maco.py; spectrum by formula.",
    )


def _peek_fast() -> Preset:
    """Our own: a nameable picture in the shortest time, mostly after 20 of its steps.

    As ``peek`` with steps three times as long, on a canvas as large as what most networks were made for, seen
    nearly whole: fewer views that miss, and a class fills the picture with several of its kind.
    """
    recipe = _peek().recipe.replace(
        name="peek-fast", steps=72, size=224, step_size=0.15, crop=(0.8, 1.2), total_variation=0.01
    )
    return Preset(
        recipe,
        "Our own, in a hurry: something to put a name to after a second; busier and less clean than peek.",
        "peek_widget; as peek.",
    )


_PRESETS: dict[str, Preset] = {
    one.recipe.name: one
    for one in (
        _peek(),
        _peek_fast(),
        _oygard_2016(),
        _oygard_2016_googlenet(),
        _oygard_2015_class(),
        _yosinski_2015(
            1,
            "Yosinski's first: an adaptive step, the faintest half of the pixels emptied; gray on networks of another "
            "scale.",
            500, normalize="progress", step_size=2.0, largest_rate=100.0, blur=0.5, blur_every=4, small_norm=50.0,
        ),
        _yosinski_2015(
            2, "Yosinski's second: a strong decay instead of a blur; small bright patches on gray.",
            750, normalize="none", step_size=100.0, decay=0.3, small_norm=20.0,
        ),
        _yosinski_2015(
            3, "Yosinski's third, most of the paper's figures: a weak decay and a blur now and then.",
            1000, normalize="none", step_size=100.0, decay=0.0001, blur=1.0, blur_every=4,
        ),
        _yosinski_2015(
            4, "Yosinski's fourth: nine in ten pixels, those that contribute least, emptied.",
            1000, normalize="progress", step_size=2.0, largest_rate=1e8, blur=0.5, blur_every=4,
            small_contribution=90.0,
        ),
        _lucid_2017(),
        _maco_2023(),
    )
}  # fmt: skip


def preset(name: Any) -> Preset:
    """The preset of that name, with its words; RecipeError with the names there are if there is none."""
    if isinstance(name, str) and name in _PRESETS:
        return _PRESETS[name]
    raise RecipeError(f"There is no recipe {name!r}; possible are {', '.join(_PRESETS)}.")


def presets() -> Mapping[str, Preset]:
    """Every preset by name."""
    return _PRESETS
