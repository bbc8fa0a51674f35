"""Where a student runs: compile, embed, measure; one file a runtime, all of the same form."""
