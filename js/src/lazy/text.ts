// The texts of the lazily loaded panels, as ../text.ts.

export const text = {
  optimizedMark: "optimized",
  medianMark: "median",
  highMark: "99th percentile",
  bestMark: "max",
  gaugeSpoken: "Activation: optimized image vs. real images",

  compareRecipes: "Recipes to compare",
  compareWhat: "What to compare",
  compareKinds: { recipes: "recipes", seeds: "seeds", units: "units" },
  compareCount: "Number of pictures",
  compareChoose: "Choose 2 to 6",
  compareDraw: (count: number, what: string) => `Draw ${count} ${what}`,
  compareClose: "Close",
  saveFigure: "Save figure",
  saveFigureHelp: "All pictures in one PNG",
  open: (caption: string) => `Open ${caption} in the explorer`,
} as const;
