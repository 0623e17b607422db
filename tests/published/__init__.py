"""What others published: every case is run, or listed with the reason why it does not apply."""
