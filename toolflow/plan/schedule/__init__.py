"""What runs where and when: the graph fitted to the engine's memories."""
