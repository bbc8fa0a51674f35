"""Which steps a recipe needs, from the teacher to figures on a target."""
