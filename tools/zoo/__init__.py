"""How the bundled network is trained, judged and described."""
