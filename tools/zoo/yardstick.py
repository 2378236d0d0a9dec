"""Is a picture right? ``python -m tools.zoo.yardstick`` asks a second network.

Every class is drawn from the bundled network by gradient ascent on its logit, with three seeds, and the
pictures are shown to a network that had no part in the drawing: one of another seed and another width. It
sees what a person sees, the whole picture, made as small as the images it was trained on.
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

__all__ = ["JUDGE", "RECIPES", "SEEDS", "JudgeResult", "judge", "main", "measure", "table"]

#: The second network: test data, in the repository and not in the package.
JUDGE = Path("tests/data/judge.safetensors")
RECIPES = ("peek", "oygard-2016")
SEEDS = (0, 1, 2)


@dataclass(frozen=True)
class JudgeResult:
    """What the judge named the pictures of one recipe: ``named[class]`` lists one answer for each seed."""

    recipe: str
    named: dict[str, tuple[str, ...]]

    @property
    def right(self) -> int:
        """Number of pictures that the judge named as what they were drawn for."""
        return sum(answer == name for name, answers in self.named.items() for answer in answers)

    @property
    def total(self) -> int:
        """Number of pictures."""
        return sum(len(answers) for answers in self.named.values())

    @property
    def share(self) -> float:
        """Share named correctly, 0 to 1."""
        return self.right / self.total


def judge(network: SmallNet, pictures: torch.Tensor) -> list[str]:
    """The class that ``network`` sees in each of ``pictures`` (``[N, 3, H, W]`` in [0, 1])."""
    small = functional.interpolate(
        pictures, size=(network.input_size,) * 2, mode="bilinear", antialias=True, align_corners=False
    )
    with torch.inference_mode():
        answers = network(network.preprocess(small.clamp(0, 1))).argmax(1)
    return [network.class_names[k] for k in answers.tolist()]


def measure(
    drawn_from: SmallNet,
    judged_by: SmallNet,
    recipe: Recipe | str,
    seeds: Sequence[int] = SEEDS,
    batch: int = 7,
    say: Callable[[str], None] = lambda text: None,
    keep: Callable[[str, int, torch.Tensor], None] = lambda name, seed, picture: None,
) -> JudgeResult:
    """Draw every class of ``drawn_from`` with each seed and let ``judged_by`` name the pictures.

    ``keep(class name, seed, picture [3, H, W])`` is given each picture; ``batch`` pictures are drawn at once.
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
        for (k, seed), picture, answer in zip(part, last.images, judge(judged_by, last.images), strict=True):
            answers[names[k]].append(answer)
            keep(names[k], seed, picture)
    return JudgeResult(recipe.name, {name: tuple(given) for name, given in answers.items()})


def table(verdicts: Sequence[JudgeResult]) -> str:
    """The verdicts as a Markdown table: how many pictures of a class were named as such, and what else."""
    lines = [
        "| class | " + " | ".join(f"{v.recipe} | taken for" for v in verdicts) + " |",
        "|---|" + "--:|---|" * len(verdicts),
    ]
    for name in verdicts[0].named:
        cells = [name]
        for verdict in verdicts:
            answers = verdict.named[name]
            others = Counter(answer for answer in answers if answer != name)
            cells += [
                f"{answers.count(name)} of {len(answers)}",
                ", ".join(f"{o} {n}x" for o, n in others.items()),
            ]
        lines.append("| " + " | ".join(cells) + " |")
    total = [f"**{v.right} of {v.total} = {v.share:.1%}** | " for v in verdicts]
    return "\n".join([*lines, "| **all** | " + " | ".join(total) + " |"])


def main(argv: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.zoo.yardstick",
        description="Draw every class of the bundled network and let a second network name the pictures.",
    )
    parser.add_argument(
        "judge", type=Path, nargs="?", default=JUDGE, help=f"the second network's weights; left out, {JUDGE}"
    )
    parser.add_argument("--network", type=Path, help="weights to draw from; left out, the bundled ones")
    parser.add_argument("--recipe", action="append", help=f"may be repeated; left out: {', '.join(RECIPES)}")
    parser.add_argument("--seeds", type=int, default=len(SEEDS), help="pictures of each class")
    parser.add_argument("--pictures", type=Path, help="a folder to keep a sheet of the pictures in")
    given = parser.parse_args(argv)
    drawn_from = load(given.network) if given.network else bundled()
    judged_by = load(given.judge)
    verdicts = []
    for recipe in given.recipe or RECIPES:
        kept: list[torch.Tensor] = []
        verdicts.append(
            measure(
                drawn_from,
                judged_by,
                recipe,
                range(given.seeds),
                say=lambda text: print(text, file=sys.stderr, flush=True),
                keep=lambda name, seed, picture, kept=kept: kept.append(picture),
            )
        )
        if given.pictures:
            given.pictures.mkdir(parents=True, exist_ok=True)
            tile(torch.stack(kept), columns=4 * given.seeds, side=96).save(given.pictures / f"classes-{recipe}.png")
    print(table(verdicts))
    return 0


if __name__ == "__main__":
    sys.exit(main())
