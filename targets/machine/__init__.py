"""Facts about a machine: name, cores, sensors, quotas."""
