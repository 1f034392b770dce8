"""Weights of other libraries: read into a `ResNet`, and written for torch."""
