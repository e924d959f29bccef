"""Everything that can be trained on a task and asked: memories, baselines, models of other packages."""
