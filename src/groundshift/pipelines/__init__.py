"""Where all parts meet: open, plan, fit on a sample, stream once, report."""
