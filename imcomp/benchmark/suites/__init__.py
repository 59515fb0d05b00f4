"""What can be measured: each suite names its entrants."""
