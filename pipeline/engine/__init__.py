"""Runs stages of any kind: steps and their keys, the plan, the store of results, processes, progress."""
