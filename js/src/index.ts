import type { AnyModel, AnyWidget } from "@anywidget/types";
import { WidgetClient } from "./client";
import { mountExplorer } from "./panels/explorer";
import type { Traits } from "./protocol.gen";

/**
 * The front-end module. It exports a factory, because hosts load a module once and share it between widgets: the state
 * of a widget is in its client, that of a view ends with its signal.
 */
const createWidget = () => {
  let client: WidgetClient | undefined;

  const open = (model: AnyModel<Traits>, signal: AbortSignal | undefined): WidgetClient => {
    client?.dispose();
    const opened = new WidgetClient(model);
    client = opened;
    signal?.addEventListener("abort", () => opened.dispose(), { once: true });
    return opened;
  };

  return {
    // Must return at once: a host that waits longer than 2 s silently drops every later message.
    initialize({ model, signal }: { model: AnyModel<Traits>; signal?: AbortSignal }) {
      const opened = open(model, signal);
      return () => opened.dispose();
    },

    render({ model, el, signal }: { model: AnyModel<Traits>; el: HTMLElement; signal?: AbortSignal }) {
      const current = client && !client.isDisposed ? client : open(model, undefined);
      // Older hosts give no signal; newer ones end a view by the signal or by the returned function.
      const view = new AbortController();
      const end = (): void => view.abort();
      signal?.addEventListener("abort", end, { once: true, signal: view.signal });
      if (signal?.aborted) end();
      else mountExplorer(current, el, view.signal);
      return end;
    },
  };
};

export default createWidget satisfies () => AnyWidget<Traits>;
