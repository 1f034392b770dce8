"""What training has in common, from a shell or in a search."""
