"""The presets: recipes by name, with the numbers that their sources published.

Where a source has its own network, image range or transformation code, the numbers are kept and the rest is ours:
the picture is held in gray levels (or as a spectrum) and the model's own preprocessing is part of the function whose
gradient is taken, so that a step of 3.0 is 3 gray levels of 255 for every model.
"""

from __future__ import annotations

from typing import Any

from peek_widget.ascent.recipe import Preset, Recipe, preset, presets, register

__all__ = ["Preset", "preset", "presets"]


def _register_peek() -> None:
    """Register our own: the best picture, and a recognizable one in the shortest time.

    ``peek`` optimizes a spectrum (Olah, Mordvintsev & Schubert 2017, "Feature Visualization",
    https://distill.pub/2017/feature-visualization) seen through crops of very different sizes (the idea of MACO, Fel
    et al. 2023), with some total variation. Two small views at each step take less time than one large one, and what
    the network likes in one view alone averages out. No band of frequencies may have more than twice the energy that it
    has in photographs (:mod:`~peek_widget.ascent.contrast`), or modern networks drive the picture into black and white
    fog. In the end a picture has at least .55 of photographs' contrast: without that a third of EfficientNet-Lite0's
    hidden units were paler than 19 in 20 photographs. The step falls to a sixth, so that the end is clean.

    The rest is for classes (docs/quality.md has what each does). Three quarters of the gradient through each residual
    block are left out, 8 % of it pass closed ReLUs, and half of max-pooling's is spread over its windows: what is
    climbed so is less this network's alone. Half of the two strongest other classes is subtracted, since features that
    two classes share may draw the other one. With noise on the weights and mirrored views a picture more often shows
    one whole thing.

    ``peek-fast`` is ``peek`` with two fifths of the steps, twice as long, and without that noise, which does not
    average out in so few.
    """
    peek = Recipe(
        name="peek", octaves=((84, 1.0),), param="fourier", optimizer="adam", grad_norm="rms", sampling="crop",
        init_std=0.01, spectrum_power=1.2, contrast_cap=2.0, contrast_floor=(0.0, 0.55), step_size=(0.12, 0.02),
        n_views=2, view_size=128, jitter=0.05, total_variation=0.14, crop=(0.45, 1.2), field_crop=(0.9, 1.2),
        effective_field=True, rotation=10.0, rivals=0.5, residual_gradient=0.25, relu_leak=0.08,
        pool_spread=0.5, weight_noise=(0.25, 0.08), class_flip=0.5, size=192,
    )  # fmt: skip
    register(
        peek,
        "Our own: a clear picture in a few seconds, seen through crops of many sizes, with the contrast of "
        "photographs.",
        "peek_widget; parametrization after Olah, Mordvintsev & Schubert 2017, crops after Fel et al. 2023 (MACO).",
    )
    register(
        peek.replace(name="peek-fast", steps=32, step_size=(0.25, 0.04), weight_noise=0.0, class_flip=0.0),
        "Our own fast preset: peek in a third of the time, rougher.",
        "peek_widget; as peek.",
    )


def _register_oygard() -> None:
    """Register A. M. Øygard's recipes for VGG-S and GoogLeNet (2016) and for classes (2015), of his deepdraw.

    "Peeking inside convolutional neural networks" (2016) has five octaves, 475 steps, from N(250, 8);
    ``x += step / mean(|g|) * g``, then a blur, both annealed. Its notebook for GoogLeNet (inception_4c/output) has
    steps four times as large and a last blur of 0.3.

    "Visualizing GoogLeNet classes" (2015): the notebook's "more coherent" alternative, 190 steps and, at 1.2 times
    the size, 450 more, all on the last classifier. The notebook's first list moves on to GoogLeNet's two auxiliary
    classifiers, which no other network has.
    """
    vgg = Recipe(
        name="oygard-2016", octaves=((200, 1.0), (100, 1.0), (100, 1.05), (50, 1.05), (25, 1.05)), param="pixels",
        optimizer="plain", grad_norm="mean", sampling="window", init_mean=250.0, init_std=8.0,
        step_size=((3.0, 2.5), (2.5, 2.0), (2.0, 1.5), (1.5, 0.375), (0.375, 0.125)),
        blur=((2.5, 1.1), (1.1, 0.858), (0.858, 0.78), (0.858, 0.40), (0.4, 0.1)),
    )  # fmt: skip
    register(
        vgg,
        "Øygard 2016: white init, normalized gradient ascent, annealed blur.",
        'A. M. Øygard, "Peeking inside convolutional neural networks" (2016), deepdraw notebook for VGG-S.',
    )
    register(
        vgg.replace(
            name="oygard-2016-googlenet",
            step_size=((12.0, 10.0), (10.0, 8.0), (8.0, 6.0), (6.0, 1.5), (1.5, 0.5)),
            blur=((2.5, 1.1), (1.1, 0.858), (0.858, 0.78), (0.858, 0.40), (0.4, 0.3)),
        ),
        "Øygard 2016 for GoogLeNet: as oygard-2016 with steps four times as large; bolder and rougher.",
        'A. M. Øygard, "Peeking inside convolutional neural networks" (2016), deepdraw notebook for GoogLeNet filters.',
    )
    classes = Recipe(
        name="oygard-2015-class", octaves=((190, 1.0), (450, 1.2)), param="pixels", optimizer="plain",
        grad_norm="mean", sampling="window", init_mean=200.0, init_std=8.0,
        step_size=((11.0, 11.0), (6.0, 3.0)), blur=((2.5, 0.78), (0.936, 0.40)),
    )  # fmt: skip
    register(
        classes,
        "Øygard 2015, for classes: large steps from a light gray, then smaller ones on a larger picture.",
        'A. M. Øygard, "Visualizing GoogLeNet classes" (2015), deepdraw notebook, the more coherent alternative.',
    )


def _register_yosinski() -> None:
    """Register the four sets of hyperparameters of Yosinski, Clune, Nguyen, Fuchs & Lipson 2015.

    "Understanding Neural Networks Through Deep Visualization", Table 1 (arXiv 1506.06579; Deep Visualization
    Toolbox): from the mean plus N(0, 10), ``x += rate * g``, decay, a blur at every fourth step, clipping of pixels
    with small norm and of small contribution; the result is the best picture of the run. These numbers are the
    paper's. Its rates are by gray levels and absolute, for the gradients of CaffeNet; with them as they are most
    pictures of other networks are gray. Two fields are ours:

    ``mean_grad_norm=0.2`` brings the gradients to CaffeNet's scale. The toolbox's example run
    (doc/running-optimize-image.md: set 3, unit 130 of fc8) records activations of 63.58 and 68.18 before and after its
    last step, which has no blur: a gain of 4.6 at rate 100, so that to first order ``|g| = (4.6 / 100) ** 0.5 = 0.21``.
    Set 1 says about the same: its largest rate, 100, makes the desired progress of 2.0 where ``|g|`` is 0.14. What is
    brought there is the mean over the run so far, not the first gradient: SqueezeNet's classes have gradients ten
    times larger after a hundred steps than on the initial noise, the bundled network's ten times smaller.

    ``stretch`` makes the picture that the network sees the one that is shown. The example ends with a standard
    deviation of 1.65 gray levels, and the toolbox stretches it to the full range for display. The factors are chosen
    on SqueezeNet, EfficientNet-Lite0 and the bundled network, so that their pictures are seen (docs/quality.md).
    """

    def one(number: int, summary: str, steps: int, **numbers: Any) -> None:
        recipe = Recipe(
            name=f"yosinski-2015-{number}", octaves=((steps, 1.0),), param="pixels", optimizer="plain",
            sampling="window", init_mean=None, init_std=10.0, return_best=True, mean_grad_norm=0.2, **numbers,
        )  # fmt: skip
        register(recipe, summary, f"Yosinski et al. 2015 (arXiv 1506.06579), Table 1, set {number}.")

    one(
        1,
        "Yosinski's set 1: an adaptive step, the half of the pixels with the smallest norm cleared.",
        500, grad_norm="progress", step_size=2.0, max_rate=100.0, blur=0.5, blur_every=4, clip_norm_percentile=50.0,
        stretch=40.0,
    )  # fmt: skip
    one(
        2, "Yosinski's set 2: a strong decay instead of a blur; small bright patches on gray.",
        750, grad_norm="none", step_size=100.0, decay=0.3, clip_norm_percentile=20.0, stretch=250.0,
    )  # fmt: skip
    one(
        3, "Yosinski's set 3, most of the paper's figures: a weak decay and a blur at every fourth step.",
        1000, grad_norm="none", step_size=100.0, decay=0.0001, blur=1.0, blur_every=4, stretch=60.0,
    )  # fmt: skip
    one(
        4, "Yosinski's set 4: nine in ten pixels, those with the smallest contribution, cleared.",
        1000, grad_norm="progress", step_size=2.0, max_rate=1e8, blur=0.5, blur_every=4,
        clip_contribution_percentile=90.0, stretch=60.0,
    )  # fmt: skip


def _register_lucid() -> None:
    """Register Olah, Mordvintsev & Schubert 2017, "Feature Visualization", as Lucid's defaults have it.

    A spectrum with power 1 at 128 px, Adam 0.05, 512 steps; padding 12 in gray, jitter 8, scale one of
    1 +- {0, 0.02, ..., 0.10}, rotation one of -10 .. 10 degrees and five times 0, jitter 4. A jitter of 8 is a shift
    by up to 4 either way. All is one bilinear sampling, cropped to one size after scaling, where Lucid samples twice
    and hands on pictures of varying size.
    """
    recipe = Recipe(
        name="lucid-2017", octaves=((512, 1.0),), size=128, param="fourier", optimizer="adam", sampling="whole",
        init_std=0.01, spectrum_power=1.0, step_size=0.05, padding=12 / 128, padding_mode="constant", jitter=4 / 128,
        jitter2=2 / 128, scale_choices=tuple(1.0 + (n - 5) / 50.0 for n in range(11)),
        rotation_choices=(*(float(n) for n in range(-10, 11)), *(0.0,) * 5),
    )  # fmt: skip
    register(
        recipe,
        "The Distill article's: the whole picture, slightly shifted, scaled and rotated; patterns fill the canvas.",
        'Olah, Mordvintsev & Schubert 2017, "Feature Visualization"; Lucid, optvis, standard transforms.',
    )


def _register_maco() -> None:
    """Register Fel et al. 2023, "Unlocking Feature Visualization ... with MAgnitude Constrained Optimization".

    Numbers of Xplique's ``maco.py``: 512 px, 256 steps, NAdam 1.0, 32 crops a step, of mean side 50 % to 5 %
    (standard deviation 5 %), centers N(0.5, 0.15), noise N(0, 0.08) + U(-0.04, 0.04) on values from -1 to 1, which is
    half of that on ours from 0 to 1. Ours is the spectrum (:func:`~peek_widget.ascent.spectrum.natural_spectrum`),
    measured from 250 photographs where theirs is from ImageNet; ``spectrum=`` takes another. Since the network is only
    shown crops, a picture is measured at the mean scale of its crops too. docs/quality.md has it beside Horama, the
    authors' own code for PyTorch.
    """
    recipe = Recipe(
        name="maco-2023", octaves=((256, 1.0),), size=512, param="maco", init_std=1.0, alpha=True,
        optimizer="nadam", step_size=1.0, sampling="normal-crop", n_views=32, crop_mean=(0.5, 0.05), crop_std=0.05,
        center_std=0.15, noise=0.04,
    )  # fmt: skip
    register(
        recipe,
        "Only the phases of a natural spectrum are optimized, seen through 32 crops a step: photographic, large, slow.",
        "Fel et al. 2023 (NeurIPS), MACO; numbers of Xplique's maco.py; spectrum measured by us.",
    )


# in the order of the explorer's menu
_register_peek()
_register_oygard()
_register_yosinski()
_register_lucid()
_register_maco()
