"""What a memory does: attribution of a decision to segments."""
