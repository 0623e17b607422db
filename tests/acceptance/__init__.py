"""The promises of each finished piece of work."""
