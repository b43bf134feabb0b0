"""Networks that were quantised elsewhere: from a float graph whose values lie on grids to integers, bit for bit."""
