"""What a user holds: keys, coins, charms, and how they are chosen."""
