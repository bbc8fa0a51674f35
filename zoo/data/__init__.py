"""Inspection of a data set before training: figures, duplicates, and a contact sheet of some identities."""
