"""Demonstrations: collect, filter, render, RLDS, shards, mixtures."""
