"""The RTL engine, and the bench that simulates it or the HLS model behind the same ports."""
