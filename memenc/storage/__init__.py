"""Files that are there whole or not at all, and know whether they are what was saved."""
