"""The explorer in marimo: `marimo run examples/marimo_app.py`, or `marimo edit` to change it."""

import marimo

app = marimo.App(width="full", app_title="peek_widget")


@app.cell
def _():
    import marimo as mo

    from peek_widget import UnitExplorer

    return UnitExplorer, mo


@app.cell
def _(mo):
    mo.md("# What does this unit look for?")
    return


@app.cell
def _(UnitExplorer, mo):
    # the bundled network; UnitExplorer(model) shows a model of yours
    explorer = mo.ui.anywidget(UnitExplorer())
    explorer
    return (explorer,)


@app.cell
def _(explorer, mo):
    # runs again whenever a control is moved
    mo.md(f"Unit **{explorer.unit}** of `{explorer.layer}`, recipe **{explorer.widget.recipe}**.")
    return


if __name__ == "__main__":
    app.run()
