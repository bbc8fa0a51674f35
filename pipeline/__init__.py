"""How a teacher becomes a student: the stages, one module each, and the order they run in."""
