"""How a student becomes small numbers: which images, which graph, how much accuracy it may cost."""
