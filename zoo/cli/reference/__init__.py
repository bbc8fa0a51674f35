"""The generated parts of the documentation.

    pages   where they are inserted: the command line in README.md, the rest in docs/
    shapes  output for scripts, as tables
    fields  a JSON Schema, as tables

`python -m zoo.cli.reference README.md docs` renews them; tests compare them.
"""
