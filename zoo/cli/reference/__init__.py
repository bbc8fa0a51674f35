"""The generated parts of the documentation.

    pages     which page has which part; and the JSON Schemas
    api       what `import zoo` offers
    fields    a JSON Schema, as tables
    jetpacks  what each JetPack brings to each Jetson, as a table
    settings  a recipe's settings, as tables
    shapes    what scripts read, as tables

`python -m zoo.cli.reference docs` renews them (`make docs`); tests compare.
"""
