"""The day-to-day of a fleet: what state every node is in, logs, start and stop, and putting right what fails."""
