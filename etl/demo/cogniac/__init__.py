"""The simulated Cogniac: a plant, its records, and the API they are read from."""
