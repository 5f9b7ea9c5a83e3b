"""Set-up of a machine: standard library only, because nothing else is there yet."""
