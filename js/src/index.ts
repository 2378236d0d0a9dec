import type { AnyModel, AnyWidget } from "@anywidget/types";
import { Session } from "./client";
import { mountExplorer } from "./panels/explorer";
import type { Traits } from "./protocol";

/**
 * The front-end module: a factory, because hosts load the module once and share it between widgets.
 * What one widget knows lives in its session, what one view knows ends with its signal.
 */
const createWidget = () => {
  let session: Session | undefined;

  const open = (model: AnyModel<Traits>, signal: AbortSignal | undefined): Session => {
    session?.dispose();
    const opened = new Session(model);
    session = opened;
    signal?.addEventListener("abort", () => opened.dispose(), { once: true });
    return opened;
  };

  return {
    // Nothing here may wait: a host that waits more than 2 s drops every later message, silently.
    initialize({ model, signal }: { model: AnyModel<Traits>; signal?: AbortSignal }) {
      const opened = open(model, signal);
      return () => opened.dispose();
    },

    render({ model, el, signal }: { model: AnyModel<Traits>; el: HTMLElement; signal?: AbortSignal }) {
      const current = session && !session.isDisposed ? session : open(model, undefined);
      // Older hosts give no signal, newer ones may use either way to end a view.
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
