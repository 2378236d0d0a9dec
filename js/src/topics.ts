import type { TraitName } from "./protocol.gen";

/** What changes of the contact sheet: the kinds of the messages that bring it. */
export type SheetTopic = "sheet" | "thumbs" | "similarity" | "counts" | "suggestions";

/** What only lazily loaded panels show. */
export type LazyTopic = SheetTopic | "compared" | "photo" | "circuit";

/** What a panel can watch: a trait, or something that only the front end knows. */
export type Topic = TraitName | "health" | "undecodable" | "drawn" | "seeds" | "crops" | "large" | LazyTopic;
