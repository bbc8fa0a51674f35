"""The generated parts of the documentation.

    pages   where they stand: the command line in README.md, the rest in docs/
    shapes  what scripts read, as tables
    fields  a JSON Schema, as tables

`python -m zoo.cli.reference README.md docs` renews them; tests compare.
"""
