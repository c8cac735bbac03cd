"""Bridges to other packages; each of them is known by one module here."""
