"""The live parts of the explorer: worker, pacing and messages, independent of model and browser."""
