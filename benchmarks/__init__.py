"""Speed, as ratios measured in one run. `make bench` prints them; nothing here is a test."""
