"""A data set to look at before anything is trained on it: figures, duplicates, and a picture of some identities."""
