"""What happened, how much, how fast, and what is wrong. Reads only."""
