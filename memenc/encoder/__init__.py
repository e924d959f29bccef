"""Segments through a backbone, group by group, with the memory carried along."""
