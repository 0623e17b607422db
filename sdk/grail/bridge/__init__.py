"""BTC to zkBTC and back."""
