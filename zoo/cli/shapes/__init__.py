"""Output of `--json` and `--events`, key by key. Tests check every command; docs/scripts.md is generated from it.

    common      shared by several
    tables      of `zoo compare`, `zoo search`, `zoo diff`
    use         of `zoo embed`, `zoo index`, `zoo query`, `zoo samples`, `zoo serve`
    registries  of `zoo publish`, `zoo verify`, `zoo yank`, `zoo gc`, `zoo migrate`
    weights     of `zoo weights`
    views       of `zoo export`
    commands    of the others, and one shape per command
    events      lines of `--events`

Keys may be added; none is removed or changes its meaning before a new major version. The text beside a type says what
its name does not. Only type checkers, tests and the documentation use this package: commands build plain dictionaries.
"""
