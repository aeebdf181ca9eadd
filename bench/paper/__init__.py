"""The paper's evaluation, rebuilt as ratios: one file per experiment, and what they share."""
