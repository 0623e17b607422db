"""Every defence of a threat's row, and a run that switches each off and expects its test to fail."""
