"""The runtimes that artifacts are written for, one file each."""
