// As ../text.ts, for the part of the page that comes later.

export const text = {
  drawnMark: "drawn",
  medianMark: "median image",
  highMark: "best 1 %",
  bestMark: "best image",
  gaugeSpoken: "Activation of the drawn picture beside real images",

  compareRecipes: "Recipes to compare",
  compareWhat: "What to compare",
  compareKinds: { recipes: "recipes", seeds: "seeds", units: "units" },
  compareCount: "How many",
  compareChoose: "Choose 2 to 6",
  compareDraw: (count: number, what: string) => `Draw ${count} ${what}`,
  compareClose: "Close",
  saveFigure: "Save figure",
  saveFigureHelp: "All in one PNG",
  toBench: (caption: string) => `Show ${caption} above`,
} as const;
