"""The built scripts and styles of the front end."""

from __future__ import annotations

from pathlib import Path

__all__ = ["STATIC", "read_static"]

STATIC: Path = Path(__file__).parents[1] / "static"


def read_static(name: str) -> str:
    """Return the text of a built file of the front end.

    Raises:
        FileNotFoundError: if the front end has not been built.
    """
    path = STATIC / name
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"The front end has not been built: {path.name} is missing. Install the package with "
            "`pip install .`, or build it in place with `npm ci && npm run build` in js/."
        ) from error
