"""On the path of all processes of a measured run: starts coverage.py in each of them."""

import coverage

coverage.process_startup()
