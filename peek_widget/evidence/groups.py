"""Groups of ImageNet's 1000 classes, by their numbers in the usual order (sorted by WordNet id)."""

from __future__ import annotations

__all__ = ["IMAGENET_GROUPS"]


def _spans(*spans: tuple[int, int] | int) -> tuple[int, ...]:
    """Return all numbers of the spans, first and last included."""
    return tuple(
        number
        for span in spans
        for number in (range(span[0], span[1] + 1) if isinstance(span, tuple) else (span,))
    )  # fmt: skip


IMAGENET_GROUPS: dict[str, tuple[int, ...]] = {
    "dogs": _spans((151, 268)),
    "wild dogs": _spans((269, 275), (277, 280)),  # wolves, coyote, dingo, dhole; foxes. 276, a hyena, is none
    "cats": _spans((281, 285)),
    "wild cats": _spans((286, 293)),
    "bears": _spans((294, 297)),
    "hoofed animals": _spans((339, 355)),
    "primates": _spans((365, 384)),
    "rodents and rabbits": _spans((330, 333), (335, 338)),  # 334 is a porcupine
    "birds": _spans((7, 24), (80, 100), (127, 146)),
    "fish": _spans((0, 6), (389, 397)),
    "frogs and salamanders": _spans((25, 32)),
    "turtles": _spans((33, 37)),
    "lizards and crocodiles": _spans((38, 50)),
    "snakes": _spans((52, 68)),
    "spiders": _spans((72, 77)),
    "insects": _spans((300, 326)),
    "crabs and lobsters": _spans((118, 125)),
    "whales and seals": _spans((147, 150)),
    "cars and trucks": _spans(
        407, 436, 468, 511, 555, 569, 609, 627, 654, 656, 661, 675, 717, 734, 751, 757, 779, 803, 817, 864, 867, 874
    ),
    "trains": _spans(466, 547, 565, 705, 820, 829),
    "ships and boats": _spans(403, 472, 484, 510, 554, 576, 625, 628, 724, 780, 814, 871, 914),
    "aircraft": _spans(404, 405, 417, 895),
    "two wheels": _spans(444, 665, 670, 671),
    "musical instruments": _spans(
        401, 402, 420, 432, 486, 513, 541, 546, 558, 566, 577, 579, 593, 594, 641, 642, 683, 684, 687, 699, 776,
        822, 875, 881, 889
    ),
    "dishes": _spans((924, 935), 959, 960, (962, 965)),
    "fruit and vegetables": _spans((936, 946), (948, 957)),
    "mushrooms": _spans(947, (991, 997)),
    "flowers": _spans((984, 986)),
    "landscapes": _spans(970, 972, (974, 980)),
}  # fmt: skip
"""Class numbers (0 to 999) of each group, by its name. Groups do not overlap; not every class is in one."""
