"""Recordings of other simulators, made into datasets: `demomill import`."""
