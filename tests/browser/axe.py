"""axe-core, the checker of accessibility, put into a page from the front end's own node_modules."""

import subprocess
from pathlib import Path

from hatch_build import node_tools

JS = Path(__file__).resolve().parents[2] / "js"


def axe_source():
    path = JS / "node_modules" / "axe-core" / "axe.min.js"
    if not path.is_file():
        _node, npm, environment = node_tools()
        subprocess.run([*npm, "ci", "--no-audit", "--no-fund"], cwd=JS, env=environment, check=True)
    return path.read_text(encoding="utf-8")


def violations(page, selector=".peek-root"):
    """The serious and critical violations of every rule of axe in the part of the page: rule, how it is, where."""
    if not page.evaluate("() => 'axe' in window"):
        page.evaluate(axe_source())
    # Where the page's own boxes cut off what overflows, axe takes most text for hidden and looks at no color.
    return page.evaluate(
        """async selector => {
          const boxes = [...document.querySelectorAll('body, .jp-LabShell')];
          const before = boxes.map(each => each.style.overflow);
          for (const each of boxes) each.style.overflow = 'visible';
          const found = await axe.run(selector, { resultTypes: ['violations'] });
          boxes.forEach((each, at) => { each.style.overflow = before[at] });
          return found.violations
            .filter(({ impact }) => impact === 'serious' || impact === 'critical')
            .flatMap(({ id, impact, nodes }) =>
              nodes.map(({ html, failureSummary }) => `${impact} ${id}: ${html.slice(0, 200)} ${failureSummary}`));
        }""",
        selector,
    )
