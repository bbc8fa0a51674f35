"""From teacher to student: the stages, one module each (`stages`), the steps that a recipe needs (`planning`), and the
engine that runs them (`engine`).
"""
