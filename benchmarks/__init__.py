"""Scripts that print ratios measured in one run."""
