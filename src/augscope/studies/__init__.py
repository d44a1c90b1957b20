"""Whole studies of real images."""
