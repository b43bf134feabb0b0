"""What a build measured, as data (`summary`), as tables (`tables`) and as a plot (`plot`)."""
