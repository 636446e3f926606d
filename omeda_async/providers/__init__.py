"""The three providers; none knows of another."""
