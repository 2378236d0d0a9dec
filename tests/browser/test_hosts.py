"""The same explorer in every host: what a person does with it works there, and nothing is fetched from elsewhere."""

from pathlib import Path

from .test_explorer import LONG, MODEL, SHOW

EXAMPLES = Path(__file__).parents[2] / "examples"


def use(page):
    """What every host must let a person do, on a page in which an explorer draws a long run."""
    page.until("d.drawn > 3 && d.state === 'running'", timeout=60)
    first = page.pixels()
    seen = page.until("true")
    page.until(f"d.drawn > {seen['drawn'] + 15}")
    assert page.pixels() != first

    slider = page.root.get_by_role("slider", name="Unit", exact=True)
    slider.focus()
    slider.press("ArrowRight")
    page.until(f"d.run > {seen['run']} && d.step > 3 && d.state === 'running'")

    page.root.get_by_role("button", name="Pause").click()
    step = page.until("d.state === 'paused'")["step"]
    page.page.wait_for_timeout(400)
    assert page.until("true")["step"] == step
    page.root.get_by_role("button", name="Play").click()
    page.until(f"d.state === 'running' && d.step > {step + 3}")
    assert page.until("true")["health"] == "ok"


def test_a_notebook_shows_it_and_obeys(notebook, notebook_host, strangers):
    book = notebook([MODEL + LONG, SHOW], host=notebook_host)
    book.run_cell(0)
    book.run_cell(1)
    use(book)
    assert book.ask("explorer.unit") == 1
    assert strangers == []


def test_a_dashboard_by_voila_shows_it_and_obeys(dashboard, strangers):
    page = dashboard([MODEL + LONG, SHOW])
    use(page)
    assert page.ask("explorer.unit") == 1
    # Voila's own page asks for fonts and formulas from elsewhere and does without; the widget asks for nothing
    assert [address for address in strangers if "widget" in address] == []


def test_the_app_in_marimo_shows_it_and_obeys(marimo_app, strangers):
    app = marimo_app(EXAMPLES / "marimo_app.py")
    app.until("d.drawn > 3", timeout=60)
    run = app.hold()["run"]
    slider = app.root.get_by_role("slider", name="Unit", exact=True)
    slider.focus()
    slider.press("ArrowRight")
    app.until(f"d.run > {run} && d.state === 'paused'")
    # Python has it too: this cell runs again when a control is moved
    app.page.get_by_text("Unit 1 of conv5, recipe peek").wait_for(timeout=60_000)
    seen = app.until("true")
    app.root.get_by_role("button", name="Play").click()
    app.until(f"['running', 'done'].includes(d.state) && d.step > {seen['step'] + 3} && d.health === 'ok'")
    assert strangers == []


def test_the_dashboard_shows_no_code_and_lets_a_visitor_choose_a_network(dashboard):
    page = dashboard(path=EXAMPLES / "dashboard.ipynb")
    page.until("d.drawn > 3", timeout=90)
    assert "import asyncio" not in page.page.locator("body").inner_text()
    assert page.page.locator(".jp-InputArea-editor, .cm-editor").count() == 0
    page.choose_network("SqueezeNet 1.1 with random weights: untrained, to compare with")
    page.until("d.drawn > 3", timeout=60)
    assert page.ask("[t.name for t in __import__('threading').enumerate()].count('peek_widget')") == 1


def test_the_dashboard_holds_a_visitor_to_its_bounds(dashboard):
    page = dashboard(path=EXAMPLES / "dashboard.ipynb")
    page.until("d.drawn > 0", timeout=90)
    # what a page that was tampered with could send
    page.ask("explorer.set_state({'size': 2048}) or explorer.set_state({'recipe': 'maco-2023'}) or explorer.wait(60)")
    assert page.ask("[explorer.size, explorer.recipe]") == [320, "peek"]
    assert page.ask("explorer.status['size']") <= 320
    page.ask("explorer.set_state({'layer': '/etc/passwd', '_esm': 'alert(1)'}) or 1")
    assert page.ask("explorer.layer in [row['name'] for row in explorer._layer_list]")
    assert page.ask("'alert(1)' not in explorer._esm")
    shown = page.root.locator("select").first
    assert "maco" not in page.root.inner_text()
    assert shown.is_visible()


def test_the_dashboard_releases_its_network_when_nobody_uses_it(dashboard, tmp_path):
    impatient = tmp_path / "impatient.ipynb"
    text = (EXAMPLES / "dashboard.ipynb").read_text(encoding="utf-8")
    impatient.write_text(text.replace("IDLE_TIMEOUT = 15 * 60", "IDLE_TIMEOUT = 3"), encoding="utf-8")
    assert impatient.read_text() != text
    page = dashboard(path=impatient)
    page.page.get_by_text("so its network was released").wait_for(timeout=90_000)
    page.page.wait_for_function("() => !document.querySelector('.peek-root')", timeout=60_000)
    assert page.ask("[t.name for t in __import__('threading').enumerate()].count('peek_widget')") == 0
