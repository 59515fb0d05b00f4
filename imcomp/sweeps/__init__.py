"""What a run is to a sweep: a trial that reports, objectives that are weighed; and what is left when a study ends."""
