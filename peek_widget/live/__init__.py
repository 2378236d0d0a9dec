"""What makes the explorer live: the worker, the pacing, the messages. Knows no model and no browser."""
