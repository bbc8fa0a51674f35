"""How a teacher becomes a student: the stages, one module each (`stages`), which of them a recipe needs (`planning`),
and what runs them (`engine`).
"""
