"""Pages to look at: one about a run, one about the shipped models, cards and charts."""
