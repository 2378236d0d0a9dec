import { text } from "../text";
import { el } from "../ui/dom";
import type { Tab } from "../ui/tabs";
import type { View } from "../ui/view";
import { footerPanel } from "./footer";
import { objectivePanel } from "./objective";
import { headingPanel } from "./picker";
import { recipeSummary } from "./recipe";

/** What is set once and read now and then: facts about unit and layer, the objective, the recipe's source, the model. */
export function detailsTab(view: View): Tab {
  const content = el(
    "div",
    { class: "peek-details" },
    headingPanel(view),
    objectivePanel(view),
    recipeSummary(view),
    footerPanel(view),
  );
  return { id: "details", title: text.details, content, initial: true };
}
