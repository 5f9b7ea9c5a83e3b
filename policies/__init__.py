"""Learners: PPO experts, the VLA and its trainer."""
