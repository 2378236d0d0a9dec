"""The guessing game as a widget, made of ipywidgets."""

from __future__ import annotations

from typing import Any

import ipywidgets
from PIL import Image

from peek_widget._encode import png_bytes
from peek_widget.game.rules import Guessing

__all__ = ["GuessingGame"]

LARGE, SMALL = 220, 96


class GuessingGame(ipywidgets.VBox):
    """A widget that asks which of two images excites a unit more; a click answers, and the score is shown.

    Args:
        args, options: arguments of :class:`~peek_widget.game.rules.Guessing`.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        self.game: Guessing = Guessing(*args, **options)
        self._references = ipywidgets.Box(layout=ipywidgets.Layout(flex_flow="row wrap", width="340px"))
        self._prompt = ipywidgets.Label("Which of the two excites the unit more?")
        self._pair = [ipywidgets.Image(format="png", width=LARGE, height=LARGE) for _ in range(2)]
        self._buttons = [ipywidgets.Button(description=words) for words in ("This one", "No, this one")]
        self._reply = ipywidgets.Label("")
        self._score = ipywidgets.Label(str(self.game.score))
        for side, button in enumerate(self._buttons):
            button.on_click(lambda _, side=side: self._answer(side))
        sides = [ipywidgets.VBox(each) for each in zip(self._pair, self._buttons, strict=True)]
        self._title = ipywidgets.Label()
        examples = ipywidgets.VBox([self._title, self._references])
        super().__init__([ipywidgets.HBox([examples, *sides]), self._prompt, self._reply, self._score])
        self._show()

    def _answer(self, side: int) -> None:
        asked = self.game.question
        right = self.game.answer(side)
        more, less = asked.pair[asked.answer], asked.pair[1 - asked.answer]
        self._reply.value = (
            f"{'Right' if right else 'No'}: unit {asked.unit} has an activation of {more.activation:.2f} on the one"
            f"{_of(more.label_name)}, and of {less.activation:.2f} on the other{_of(less.label_name)}."
        )
        self._score.value = str(self.game.score)
        self._show()

    def _show(self) -> None:
        question = self.game.question
        size = LARGE if len(question.references) == 1 else SMALL
        self._title.value = f"Unit {question.unit}" + (" is excited by" if question.references else "")
        self._references.children = [
            ipywidgets.Image(value=_png(picture, size), format="png", width=size, height=size)
            for picture in question.references
        ]
        for image, crop in zip(self._pair, question.pair, strict=True):
            image.value = _png(crop.image, LARGE)


def _of(label: str | None) -> str:
    return "" if label is None else f" ({label})"


def _png(picture: Image.Image, size: int) -> bytes:
    scale = size / max(picture.size)
    return png_bytes(picture.resize([max(1, round(scale * side)) for side in picture.size], Image.Resampling.BICUBIC))
