"""What is in a dataset, whoever wrote it: counts, distributions, pictures, coverage, and suspicious episodes."""
