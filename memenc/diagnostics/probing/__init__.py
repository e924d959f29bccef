"""What a trained model forgets: retention, write against read loss, depth and length, capacity, wear, attribution."""
