"""What runs any stages: steps and their keys, the plan, the store of results, processes, progress."""
