"""Training networks without labels, on real and drawn ground under simulated air, light and change."""
