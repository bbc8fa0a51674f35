"""The steps that a recipe needs, from the teacher to measurements on a target."""
