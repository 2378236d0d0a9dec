"""A notebook as a page that shows its explorers' last pictures: for a course's site, where no kernel runs.

    jupyter nbconvert --to peek_html lesson.ipynb              # as it was saved
    jupyter nbconvert --to peek_html --execute lesson.ipynb    # run first

nbconvert's own HTML puts a script in the place of every widget whose state the notebook holds, and that script fetches
code from a public server: without one, the place stays blank. Here the picture in that state takes the place.
"""

from __future__ import annotations

from typing import Any

from nbconvert.exporters import HTMLExporter
from nbconvert.preprocessors import Preprocessor

__all__ = ["HTMLWithPictures", "Pictures"]

STATE = "application/vnd.jupyter.widget-state+json"
VIEW = "application/vnd.jupyter.widget-view+json"
MARKS = ({"_layer_list", "_recipe_list", "status"}, {"layer_list", "recipe_list", "status"})
"""Traits by which an explorer's state, or that of a derived class, is recognized; two were renamed."""


class Pictures(Preprocessor):
    """Preprocessor that replaces each explorer by its last picture; everything else in the notebook stays."""

    def preprocess(self, nb: Any, resources: Any) -> tuple[Any, Any]:
        """Change the notebook, as nbconvert asks of a preprocessor."""
        widgets = nb.metadata.get("widgets", {})
        state = widgets.get(STATE, {}).get("state", {})
        explorers = {
            name for name, model in state.items() if any(set(model.get("state", {})) >= marks for marks in MARKS)
        }
        for cell in nb.cells:
            for output in cell.get("outputs", ()):
                data = output.get("data", {})
                name = data.get(VIEW, {}).get("model_id")
                if name in explorers:
                    del data[VIEW]
                    picture = _frame(state[name])
                    if picture is not None:
                        # if there is one, it is older than the state: made when the cell was run
                        data.pop("image/png", None)
                        data["image/png" if picture.startswith("iVBOR") else "image/jpeg"] = picture
        for name in explorers:
            del state[name]
        if explorers and all(_of_an_explorer(model) for model in state.values()):
            # without widgets left, no script has to be fetched
            del widgets[STATE]
            if not widgets:
                del nb.metadata["widgets"]
        return nb, resources


class HTMLWithPictures(HTMLExporter):
    """nbconvert's HTML, with the pictures of explorers in it; `--to peek_html`."""

    export_from_notebook = "HTML with the pictures of peek_widget"

    def _init_preprocessors(self) -> None:
        super()._init_preprocessors()
        # last: a notebook that is executed during the conversion has its pictures only then
        self.register_preprocessor(Pictures, enabled=True)


def _frame(model: Any) -> str | None:
    """The model's picture in base64, None before the first."""
    for buffer in model.get("buffers", ()):
        if buffer.get("path") == ["frame"] and buffer.get("encoding") == "base64" and buffer.get("data"):
            return str(buffer["data"]).replace("\n", "")
    return None


def _of_an_explorer(model: Any) -> bool:
    """Return whether a stored widget model only serves an explorer, as its layout does."""
    return bool(model.get("model_name") == "LayoutModel")
