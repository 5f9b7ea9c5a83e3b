"""Physics, time, randomness, conventions and episodes; the engines and their workers."""
