"""The guessing game, which measures how well a person knows a unit. Its widget is in page.py and needs ipywidgets."""

from peek_widget.game.rules import Guessing, Question, Score

__all__ = ["Guessing", "Question", "Score"]
