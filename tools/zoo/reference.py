"""Test the bundled network's pictures on a reference network: ``python -m tools.zoo.reference``.

Every class is drawn from the bundled network by gradient ascent on its logit, with three seeds, and the
pictures are classified by a reference network, trained from another seed and of another width, which had no part in
the drawing. It is given the whole picture, resized to the size of the images that it was trained on.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.nn import functional

from peek_widget.ascent import Logit, Recipe, ascend
from peek_widget.zoo.network import SmallNet, bundled, load
from tools.zoo.tiles import tile

__all__ = ["RECIPES", "REFERENCE", "SEEDS", "Classified", "classify", "main", "measure", "table"]

#: The reference network's weights: test data, in the repository and not in the package.
REFERENCE = Path("tests/data/reference.safetensors")
RECIPES = ("peek", "oygard-2016")
SEEDS = (0, 1, 2)


@dataclass(frozen=True)
class Classified:
    """The reference network's answers for the pictures of one recipe.

    Attributes:
        recipe: name of the recipe.
        named: for each class that was drawn, the class that was seen, one for each seed.
    """

    recipe: str
    named: dict[str, tuple[str, ...]]

    @property
    def right(self) -> int:
        """Number of pictures classified as the class that they were drawn for."""
        return sum(answer == name for name, answers in self.named.items() for answer in answers)

    @property
    def total(self) -> int:
        """Number of pictures."""
        return sum(len(answers) for answers in self.named.values())

    @property
    def share(self) -> float:
        """Share of pictures classified correctly, 0 to 1."""
        return self.right / self.total


def classify(network: SmallNet, pictures: torch.Tensor) -> list[str]:
    """Return the name of the class that ``network`` sees in each of ``pictures`` (``[N, 3, H, W]`` in [0, 1])."""
    small = functional.interpolate(
        pictures, size=(network.input_size,) * 2, mode="bilinear", antialias=True, align_corners=False
    )
    with torch.inference_mode():
        answers = network(network.preprocess(small.clamp(0, 1))).argmax(1)
    return [network.class_names[k] for k in answers.tolist()]


def measure(
    drawn_from: SmallNet,
    reference: SmallNet,
    recipe: Recipe | str,
    seeds: Sequence[int] = SEEDS,
    batch: int = 7,
    say: Callable[[str], None] = lambda text: None,
    keep: Callable[[str, int, torch.Tensor], None] = lambda name, seed, picture: None,
) -> Classified:
    """Draw every class of ``drawn_from`` with each seed and classify the pictures by ``reference``.

    Args:
        drawn_from: the network whose class logits the pictures maximize.
        reference: the network that classifies them.
        recipe: how to draw.
        seeds: one picture of each class for each of them.
        batch: number of pictures drawn at once.
        say: called with a line of progress before each batch.
        keep: called with the class name, the seed and the picture ``[3, H, W]`` in [0, 1] of each drawing.
    """
    recipe = Recipe.preset(recipe) if isinstance(recipe, str) else recipe
    names = drawn_from.class_names
    wanted = [(k, seed) for k in range(len(names)) for seed in seeds]
    answers: dict[str, list[str]] = {name: [] for name in names}
    for start in range(0, len(wanted), batch):
        part = wanted[start : start + batch]
        say(f"{recipe.name}: drawing picture {start + 1} of {len(wanted)}")
        objectives, part_seeds = [Logit(k) for k, _ in part], [seed for _, seed in part]
        last = deque(ascend(drawn_from, objectives, recipe, seed=part_seeds), maxlen=1).pop()
        for (k, seed), picture, answer in zip(part, last.images, classify(reference, last.images), strict=True):
            answers[names[k]].append(answer)
            keep(names[k], seed, picture)
    return Classified(recipe.name, {name: tuple(given) for name, given in answers.items()})


def table(results: Sequence[Classified]) -> str:
    """Return a Markdown table: how many pictures of each class were classified as it, and as what else."""
    lines = [
        "| class | " + " | ".join(f"{r.recipe} | errors" for r in results) + " |",
        "|---|" + "--:|---|" * len(results),
    ]
    for name in results[0].named:
        cells = [name]
        for result in results:
            answers = result.named[name]
            others = Counter(answer for answer in answers if answer != name)
            cells += [
                f"{answers.count(name)} of {len(answers)}",
                ", ".join(f"{o} {n}x" for o, n in others.items()),
            ]
        lines.append("| " + " | ".join(cells) + " |")
    total = [f"**{r.right} of {r.total} = {r.share:.1%}** | " for r in results]
    return "\n".join([*lines, "| **all** | " + " | ".join(total) + " |"])


def main(argv: list[str] | None = None) -> int:
    """Run the command line; return its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.zoo.reference",
        description="Draw every class of the bundled network and classify the pictures by a reference network.",
    )
    parser.add_argument(
        "reference",
        type=Path,
        nargs="?",
        default=REFERENCE,
        help=f"the reference network's weights; left out, {REFERENCE}",
    )
    parser.add_argument("--network", type=Path, help="weights to draw from; left out, the bundled ones")
    parser.add_argument("--recipe", action="append", help=f"may be repeated; left out: {', '.join(RECIPES)}")
    parser.add_argument("--seeds", type=int, default=len(SEEDS), help="pictures of each class")
    parser.add_argument("--pictures", type=Path, help="folder for a sheet of the pictures")
    given = parser.parse_args(argv)
    drawn_from = load(given.network) if given.network else bundled()
    reference = load(given.reference)
    results = []
    for recipe in given.recipe or RECIPES:
        kept: list[torch.Tensor] = []
        results.append(
            measure(
                drawn_from,
                reference,
                recipe,
                range(given.seeds),
                say=lambda text: print(text, file=sys.stderr, flush=True),
                keep=lambda name, seed, picture, kept=kept: kept.append(picture),
            )
        )
        if given.pictures:
            given.pictures.mkdir(parents=True, exist_ok=True)
            tile(torch.stack(kept), columns=4 * given.seeds, side=96).save(given.pictures / f"classes-{recipe}.png")
    print(table(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
