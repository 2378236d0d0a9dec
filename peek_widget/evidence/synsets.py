"""Names of ImageNet's classes in place of their WordNet numbers, by which its folders and files are called."""

from __future__ import annotations

import functools
import re
from pathlib import Path

__all__ = ["synset_in", "synset_name"]

_NUMBERS = Path(__file__).with_name("imagenet_synsets.txt")
"""The WordNet numbers of ImageNet's 1000 classes (Russakovsky et al. 2015) in the order of the classes."""

_IN_A_NAME = re.compile(r"(?<![A-Za-z0-9])n\d{8}(?![0-9])")


def synset_name(label: str) -> str:
    """Return the name of ImageNet's class with this WordNet number; any other label, and without torchvision, as it is.

    Example:
        ``synset_name("n02102318")`` is ``"cocker spaniel"``.
    """
    return _names().get(label, label) if _IN_A_NAME.fullmatch(label) else label


def synset_in(name: str) -> str | None:
    """Return the name of ImageNet's class whose WordNet number a file's name holds; None if it holds none."""
    found = _IN_A_NAME.search(name)
    return None if found is None else _names().get(found[0])


@functools.cache
def _names() -> dict[str, str]:
    from peek_widget.zoo.imagenet import imagenet_names

    try:
        names = imagenet_names()
    except ImportError:
        return {}
    return dict(zip(_NUMBERS.read_text().split(), names, strict=True))
