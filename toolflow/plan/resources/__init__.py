"""The resource model: what an engine uses of a device."""
