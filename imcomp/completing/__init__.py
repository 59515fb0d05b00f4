"""Completing a picture of any kind and size with a network of one size: NumPy and Pillow alone, no torch."""
