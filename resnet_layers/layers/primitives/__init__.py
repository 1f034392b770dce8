"""Single operations that Keras lacks, or has slower or less exact."""
