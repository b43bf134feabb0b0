"""What rounding and sparse supports are solved with: the columns that weights meet, and how errors move on."""
