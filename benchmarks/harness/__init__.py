"""How benchmarks are run, timed, checked and written down."""
