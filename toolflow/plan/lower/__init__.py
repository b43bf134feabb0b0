"""From the schedule to the program's bits."""
