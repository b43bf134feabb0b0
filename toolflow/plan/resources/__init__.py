"""What an engine takes of a device."""
