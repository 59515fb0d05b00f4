"""Shards: pictures packed by the thousand, read from a folder or a bucket in LitData's format."""
