"""What the shipped bundle finds of nodules that are known, and how far its probabilities can be believed."""
