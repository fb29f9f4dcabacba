"""Figures made from the tables and from nothing else; each is saved as SVG, PDF and PNG."""
