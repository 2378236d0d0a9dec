"""The circuit of the unit shown, computed and drawn in its own thread."""
