"""The Isaac Gym worker: it runs in a Python 3.8 of its own and imports isaacgym, torch, numpy and nothing else."""
