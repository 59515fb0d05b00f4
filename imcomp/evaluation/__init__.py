"""Comparing networks and classical fills: the same pictures and holes, scores with intervals, a report."""
