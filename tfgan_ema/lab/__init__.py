"""The laboratory: the theory and the experiments of the papers, redone with the library."""
