"""What operators say to each other and to clients."""
