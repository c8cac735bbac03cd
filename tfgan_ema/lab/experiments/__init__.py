"""The papers' experiments on trained networks, redone cell by cell with error bars."""

BUDGETS = ("smoke", "desk", "paper")
