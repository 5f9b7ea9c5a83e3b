"""Judges: hosts, metrics, statistics and reports."""
