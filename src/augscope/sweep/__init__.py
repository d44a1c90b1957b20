"""Sweeps: a grid of cells, run on one machine or many, recorded as Parquet parts."""
