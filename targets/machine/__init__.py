"""What a machine tells of itself: its name and cores, sensors, quotas."""
