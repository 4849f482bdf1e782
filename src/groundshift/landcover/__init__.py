"""Land cover: regular series, samples, classifiers, and maps made of their probabilities."""
