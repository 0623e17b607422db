"""The one roster that operators keep in step: its states, who vouches for them, how they spread."""
