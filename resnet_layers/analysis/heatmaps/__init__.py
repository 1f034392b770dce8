"""Which pixels decided: heat maps of classifiers, and whether they can be trusted."""
