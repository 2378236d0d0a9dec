"""The pictures that an ascent begins from: noise, a plain color, phases, or given pictures."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Generator, Tensor

from peek_widget._size import Size
from peek_widget.ascent import views
from peek_widget.ascent.param import Fourier, Image, Maco, Pixels
from peek_widget.ascent.pictures import Picture, as_picture, center_cut, match_channels
from peek_widget.ascent.recipe import Recipe
from peek_widget.ascent.spectrum import check_spectrum, natural_spectrum, power_law_spectrum
from peek_widget.errors import PeekError, RecipeError
from peek_widget.network import Network

__all__ = ["from_pictures", "given_pictures", "initial_image"]


def initial_image(
    recipe: Recipe,
    network: Network,
    size: Size,
    generators: Sequence[Generator],
    frequencies: Tensor,
    spectrum: Tensor | None,
) -> Image:
    """Make the image that a run begins with.

    Args:
        recipe: the recipe, with the parametrization and the kind of initial picture.
        network: the network, with the number of channels and the color that it sees as zero.
        size: (height, width) of the pictures in pixels.
        generators: one for each picture, used for all its draws.
        frequencies: ``[N]``, the highest frequency of each picture, in cycles per picture.
        spectrum: ``[C, T, T // 2 + 1]`` for ``param="maco"``; None for that of photographs, or by formula for pictures
            of one channel.

    Raises:
        RecipeError: if there is no spectrum for this number of channels, or the given one does not fit.
    """
    device, channels = network.model_copy.device, network.channels
    if recipe.param == "maco":
        return _phases(recipe, network, size, generators, spectrum)
    if recipe.init != "noise":
        level = 1.0 if recipe.init == "white" else 0.5
        flat = torch.full((len(generators), channels, *size), level, dtype=torch.float32, device=device)
        return from_pictures(flat, recipe, frequencies)
    if recipe.param == "pixels":
        noise = torch.stack([views.normal(channels, *size, generator=g) for g in generators])
        neutral = network.preprocess.neutral().to("cpu", torch.float32)
        mean = 255.0 * neutral.view(-1, 1, 1) if recipe.init_mean is None else recipe.init_mean
        return Pixels((mean + recipe.init_std * noise).to(device))
    shape = (channels, size.height, size.width // 2 + 1, 2)
    noise = torch.stack([views.normal(*shape, generator=g) for g in generators])
    return Fourier((recipe.init_std * noise).to(device), size, recipe.spectrum_power, frequencies)


def _phases(
    recipe: Recipe, network: Network, size: Size, generators: Sequence[Generator], spectrum: Tensor | None
) -> Maco:
    channels = network.channels
    if spectrum is None:
        if channels not in (1, 3):
            raise RecipeError(
                f"param='maco' fixes the spectrum of pictures, and none is known for {channels} channels: give one "
                "as spectrum=measure_spectrum(images), or take param='fourier'."
            )
        spectrum = natural_spectrum(size) if channels == 3 else power_law_spectrum(channels)
    spectrum = check_spectrum(spectrum, channels, size)
    shape = (channels, size.height, size.width // 2 + 1)
    phases = torch.stack([views.normal(*shape, generator=g) for g in generators])
    return Maco((recipe.init_std * phases).to(network.model_copy.device), spectrum, size)


def given_pictures(start: Picture, recipe: Recipe, channels: int, size: Size, count: int) -> Tensor:
    """Return the pictures to begin from as ``[count, channels, H, W]`` in [0, 1].

    Args:
        start: one picture for all, or a tensor ``[N, C, H, W]`` with one for each; the center is taken.
        recipe: recipe of the run.
        channels: number of channels of the model's images.
        size: (height, width) of the pictures in pixels.
        count: number of the run's pictures.

    Raises:
        RecipeError: for the name of a recipe's ``init``, or a recipe that begins from phases.
        PeekError: if it is not a picture, or its number or channels do not fit.
    """
    if isinstance(start, str) and start in ("noise", "gray", "white"):
        raise RecipeError(
            f"start={start!r}: start= takes a picture; noise, gray or white are the recipe's: "
            f"Recipe.preset('peek').replace(init={start!r})."
        )
    many = list(start) if isinstance(start, Tensor) and start.ndim == 4 else [start]
    many = many * count if len(many) == 1 else many
    if len(many) != count:
        raise PeekError(f"start holds {len(many)} pictures for {count} objectives: give one, or as many.")
    if recipe.param == "maco":
        raise RecipeError("param='maco' begins from phases and can't begin from a picture: take another recipe.")
    return torch.stack([center_cut(match_channels(as_picture(one), channels), size) for one in many])


def from_pictures(pictures: Tensor, recipe: Recipe, frequencies: Tensor) -> Image:
    """Make the parametrization of given pictures.

    Args:
        pictures: ``[N, C, S, S]`` in [0, 1], on the device of the run.
        recipe: the recipe, whose parametrization is not MACO.
        frequencies: ``[N]``, the highest frequency of each picture, in cycles per picture.
    """
    if recipe.param == "pixels":
        return Pixels.from_pictures(pictures)
    return Fourier.from_pictures(pictures, recipe.spectrum_power, frequencies)
