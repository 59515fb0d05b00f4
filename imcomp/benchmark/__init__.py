"""Measures imcomp against a plain loop, and writes what came out as JSON, a page and a picture."""
