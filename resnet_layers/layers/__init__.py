"""What networks are made of: units, blocks, stages, stem and head, and the style they share."""
