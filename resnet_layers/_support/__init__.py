"""What every room uses and that knows no Keras layer: checks, files, signals."""
