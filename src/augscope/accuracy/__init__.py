"""Exact test accuracy: the laws of a patch's score, alone (`law`) and summed (`characteristic`, `cdf_table`)."""
