"""The circuit of the unit shown, computed and drawn in a thread of its own."""
