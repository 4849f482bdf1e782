"""Results to pictures and one offline page."""
