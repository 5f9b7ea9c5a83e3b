"""Simulators that no training touched, each behind the same batched environment."""
