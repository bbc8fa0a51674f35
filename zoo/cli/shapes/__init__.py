"""What `--json` and `--events` print, key by key. Tests hold every command to it; docs/scripts.md is made of it.

    parts     what several of them have
    tables    of `zoo compare`, `zoo search`, `zoo diff`
    commands  what each command prints
    events    a line of `--events`

Keys may be added; none goes, and none changes its meaning, before a new major version. A text beside a type says what
is not in its name. Only type checkers, tests and the documentation read this room: commands make plain dictionaries.
"""
