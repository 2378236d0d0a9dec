"""The guessing game: how well a person knows a unit, as a number. The page is in page.py, which needs ipywidgets."""

from peek_widget.game.rules import Guessing, Question, Score

__all__ = ["Guessing", "Question", "Score"]
