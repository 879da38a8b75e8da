"""The simulated Neurons Predict: media, their files, and the API they are read from."""
