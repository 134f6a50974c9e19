"""Mathematics on arrays: NumPy and SciPy only, no user input, no hidden state."""
