"""What designs are built from: archives, compression, the delta rule, scans, tokens in the row."""
