"""A page with an explorer in it, whatever the host."""

import base64

ROOT = ".peek-root"

# marimo puts each output into a shadow root, where no selector from outside looks.
FIND = """selector => {
  const within = node => {
    const found = node.querySelector(selector);
    if (found) return found;
    for (const each of node.querySelectorAll('marimo-anywidget')) {
      const deeper = each.shadowRoot && within(each.shadowRoot);
      if (deeper) return deeper;
    }
    return null;
  };
  return within(document);
}"""

# What a canvas shows, in one string: of a list Playwright would look at each of its 150,000 numbers on their way.
PIXELS = """canvas => {
  const context = canvas.getContext('2d', { willReadFrequently: true });
  const { data } = context.getImageData(0, 0, canvas.width, canvas.height);
  let text = '';
  for (let at = 0; at < data.length; at += 8192) text += String.fromCharCode(...data.subarray(at, at + 8192));
  return btoa(text);
}"""


def pixels_of(canvas):
    """The picture on a canvas (a locator of one), as one number for each pixel and channel."""
    return list(base64.b64decode(canvas.evaluate(PIXELS)))


class Page:
    """One page in a browser. What every host can do is here: look at the widget, wait for it, use it."""

    def __init__(self, context):
        self.context = context
        self._errors = []
        self.open()

    def open(self):
        self.take(self.context.new_page())
        self.load()

    def take(self, page):
        """Have this page, and note its errors from now on."""
        self.page = page
        self.page.on("pageerror", self._note_error)

    def _note_error(self, error):
        self._errors.append(str(error.stack or error))

    def clear(self):
        """Close what the page shows; whether it can be another test's: only where the host allows that."""
        return False

    def leave(self):
        """Give up the page without closing it."""
        self.page.remove_listener("pageerror", self._note_error)

    def open_blank(self):
        """A page that shows nothing, in the place of one that was closed."""
        self.page = self.context.new_page()

    def load(self):
        """Load the page, or load it again."""
        raise NotImplementedError

    @property
    def errors(self):
        """Errors of the widget, told from the page's own by where they came from."""
        return [error for error in self._errors if "blob:" in error]

    @property
    def root(self):
        return self.page.locator(ROOT).first

    def peek(self):
        """What the widget says about itself."""
        return self.root.evaluate("root => ({...root.dataset})")

    def until(self, condition, timeout=60, view=0):
        """Wait until a JavaScript condition on `d`, what the view's root says about itself, holds; give `d`.

        The limit is there to end a test that hangs, and is no measure of speed: a loaded machine must pass too.
        """
        handle = self.page.wait_for_function(
            f"""view => {{
              const root = view ? document.querySelectorAll('{ROOT}')[view] : ({FIND})('{ROOT}');
              if (!root) return false;
              const d = {{}};
              for (const [key, value] of Object.entries(root.dataset)) {{
                d[key.replace(/^peek(.)/, (_, c) => c.toLowerCase())] = isNaN(value) ? value : Number(value);
              }}
              return ({condition}) ? d : false;
            }}""",
            arg=view,
            timeout=timeout * 1000,
        )
        return handle.json_value()

    def hold(self):
        """Pause the run, whatever it is at; one that ends before the hand is there begins anew. Gives `d`."""
        for _ in range(5):
            seen = self.until("['running', 'paused', 'done'].includes(d.state)")
            if seen["state"] == "running":
                # looked for and pressed at one go: with the run's end the button has another name
                self.root.evaluate("root => root.querySelector('button[aria-label=Pause]')?.click()")
                seen = self.until("['paused', 'done'].includes(d.state)")
            if seen["state"] == "paused":
                return seen
            self.root.get_by_role("button", name="Restart").click()
            self.until(f"d.run > {seen['run']}")
        raise AssertionError("five runs ended, one after the other, before they could be paused")

    def until_kernel(self, condition, timeout=60):
        """Wait until an expression in the kernel is true: the page shows a control's new value before Python has it.

        For pages that can `ask` their kernel.
        """
        for _ in range(timeout * 10):
            if self.ask(f"bool({condition})"):
                return
            self.page.wait_for_timeout(100)
        raise AssertionError(f"{condition} is still false in the kernel after {timeout} s")

    def until_changed(self, look, before, timeout=60):
        """Wait until what `look()` gives is no longer `before`."""
        for _ in range(timeout * 10):
            if look() != before:
                return
            self.page.wait_for_timeout(100)
        raise AssertionError(f"nothing has changed in {timeout} s")

    def pixels(self, view=0):
        """The picture on the canvas, as one number for each pixel and channel."""
        return pixels_of(
            self.page.locator(ROOT).nth(view).locator("canvas.peek-canvas, .peek-picture canvas, canvas").first
        )
